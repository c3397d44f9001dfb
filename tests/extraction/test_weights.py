"""Weights of strangers: pinned, as safetensors, without code; whatever else is refused with a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmrec_bench.errors import DataError
from mmrec_bench.extraction import weights
from mmrec_bench.extraction.sentence import SentenceTransformersConfig

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def of(model: str, revision: str | None = None) -> SentenceTransformersConfig:
    return SentenceTransformersConfig(model=model, revision=revision)


def folder(path: Path, **files: Any) -> Path:
    for name, content in {"config.json": {}, "model.safetensors": "weights", **files}.items():
        if content is not None:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_an_id_of_the_hub_needs_a_commit(tmp_path: Path) -> None:
    for revision in (None, "main", "v1.0", COMMIT[:7]):
        with pytest.raises(ValidationError, match="needs 'revision': the 40 hexadecimal digits of a commit"):
            of("sentence-transformers/all-MiniLM-L6-v2", revision)
    assert of("sentence-transformers/all-MiniLM-L6-v2", COMMIT).of_hub
    with pytest.raises(ValidationError, match="is a folder, which has no revision"):
        of(str(tmp_path), COMMIT)


def test_the_identity_of_a_folder_is_its_content(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a"), folder(tmp_path / "b")
    (second / "README.md").write_text("says nothing of vectors")
    assert of(str(first)).identity() == of(str(second)).identity()
    other = folder(tmp_path / "c", **{"model.safetensors": "other weights"})
    assert of(str(first)).identity() != of(str(other)).identity()
    assert str(tmp_path) not in json.dumps(of(str(first)).identity())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": None}, "neither config.json nor modules.json.* Give the folder in which they are"),
        ({"config.json": None, "model/config.json": {}}, "neither config.json nor modules.* Write /model behind it"),
        ({"model.safetensors": None}, "no weights as safetensors. Fetch it again"),
        ({"model.safetensors": None, "pytorch_model.bin": "pickle"}, "pickled, and could run code"),
        ({"config.json": {"auto_map": {"AutoModel": "evil.Model"}}}, "brings code of its own"),
        ({"config.json": "{"}, "is no JSON that can be read"),
        ({"modules.json": [{"type": "os.system", "path": ""}]}, "not of sentence-transformers"),
        (
            {"modules.json": [{"type": "sentence_transformers.models.Dense", "path": "1_Dense"}],
             "1_Dense/pytorch_model.bin": "pickle"},
            "pickled weights are never read",
        ),
    ],
)  # fmt: skip
def test_unfit_folders_are_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(str(folder(tmp_path, **files))).folder()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-folder", "no such folder"),
        ("package:no_such_package/model", "package 'no_such_package' is not installed"),
        ("package:../up", "needs package:NAME/FOLDER"),
        ("package:mmrec_bench/no-such", "no such folder"),
    ],
)
def test_weights_that_are_not_there(model: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(model).folder()


def test_what_the_hub_says_becomes_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        @staticmethod
        def snapshot_download(*_: Any, **__: Any) -> str:
            raise ConnectionError("offline\nmode is on")

    monkeypatch.setattr(weights, "import_hub", lambda _: Hub)
    with pytest.raises(DataError, match=r"cannot be fetched .*offline mode is on.*hf download .* --revision"):
        of("sentence-transformers/all-MiniLM-L6-v2", COMMIT).folder()
