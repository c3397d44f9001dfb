"""The layout of LATTICE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.cards import load_dataset, parse_card
from mmrec_bench.errors import ConfigError, DataError
from mmrec_bench.settings import Document

PARTS: dict[str, dict[str, Any]] = {
    "train": {"0": [0, 2], "1": [1], "10": []},
    "val": {"0": [1], "1": ["2"]},
    "test": {"1": [0], "0": []},
}


def write(folder: Path, parts: dict[str, dict[str, Any]] = PARTS) -> Path:
    (folder / "5-core").mkdir(exist_ok=True)
    for part, content in parts.items():
        (folder / "5-core" / f"{part}.json").write_text(json.dumps(content))
    np.save(folder / "image_feat.npy", np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]], np.float32))
    return folder


def card_of(folder: Path, **more: Any) -> Any:
    document = {"schema_version": 1, "name": "x", "format": "lattice", "features": {"image": "image_feat.npy"}, **more}
    return parse_card(Document("x.yaml", document)).beside(folder)


def test_parts_are_read_with_their_labels(tmp_path: Path) -> None:
    data = load_dataset(card_of(write(tmp_path)))
    one = data.payload
    assert one.labels is not None
    found = set(zip(one.users.tolist(), one.items.tolist(), one.labels.tolist(), strict=True))
    assert found == {(0, 0, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1), (1, 2, 1), (1, 0, 2)}
    assert data.features["image"].present.tolist() == [True, False, True]
    assert (one.n_users, one.n_items) == (2, 3)


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("val", {"0": [1.5]}, r"val\.json: an item of user '0' has the row number '1\.5'"),
        ("val", {"u": [1]}, r"val\.json: a user has the row number 'u'"),
        ("val", {"0": [True]}, "row numbers are whole numbers from 0"),
        ("val", {"0": 3}, "user '0' must have a list of items; got '3'"),
        (
            "test",
            {"1": [9]},
            "row numbers of items must run from 0 without gaps over all parts; 3 is missing",
        ),
        ("train", {"0": [0, 1, 2], "5": [0]}, "row numbers of users must run from 0 without gaps .* 2 is missing"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, part: str, content: dict[str, Any], message: str) -> None:
    write(tmp_path, {**PARTS, part: content})
    with pytest.raises(DataError, match=message):
        load_dataset(card_of(tmp_path))


def test_pickled_files_are_refused_with_a_word(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train: pickled files are never read, .*; got 'a\.pkl'"):
        card_of(tmp_path, train="a.pkl")
