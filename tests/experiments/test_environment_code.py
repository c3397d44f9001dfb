"""The digest by which runs of other code are stale."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmrec_bench.experiments import environment
from mmrec_bench.experiments.features.extracted import encoders_digest

CACHED = (environment.code_digest, environment.package_versions, encoders_digest)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing is remembered before or after a test."""
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


def digests() -> tuple[str, str]:
    for function in CACHED:
        function.cache_clear()
    importlib.invalidate_caches()
    return environment.code_digest(), encoders_digest()


def plug_in(folder: Path, name: str, group: str) -> Path:
    """Install a package with a plug-in, and return its module."""
    (folder / name).mkdir(parents=True)
    told = folder / f"{name}-1.5.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (told / "entry_points.txt").write_text(f"[{group}]\nmine = {name}.sub.module\n")
    module = folder / name / "module.py"
    module.write_text("WEIGHT = 1\n")
    return module


@pytest.mark.parametrize("group", ["mmrec_bench.models", "mmrec_bench.encoders", "mmrec_bench.extraction"])
def test_the_source_of_plug_ins_is_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    without = digests()
    module = plug_in(tmp_path, "tests_plug_in", group)
    monkeypatch.syspath_prepend(str(tmp_path))
    installed = digests()
    module.write_text("WEIGHT = 2\n")
    edited = digests()
    for first, second, third in zip(without, installed, edited, strict=True):
        assert len({first, second, third}) == 3
    assert environment.package_versions()["tests_plug_in"] == "1.5"
    module.write_text("WEIGHT = 1\n")
    assert digests() == installed


def test_a_plug_in_of_one_file_counts_and_one_that_is_missing_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = digests()
    module = plug_in(tmp_path, "tests_plug_in", "mmrec_bench.models")
    module.unlink()
    module.parent.rmdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert digests() == without
    (tmp_path / "tests_plug_in.py").write_text("WEIGHT = 1\n")
    of_one_file = digests()
    assert of_one_file[0] != without[0]
    plug_in(tmp_path / "elsewhere", "others", "somebody.else")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert digests() == of_one_file, "it is no plug-in of ours"
