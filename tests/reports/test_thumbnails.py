"""Small pictures: downscaled, held back when a page is full, and nothing but the folder is read."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.errors import DataError, MissingExtraError
from mmrec_bench.experiments.features.contents import picture_stem
from mmrec_bench.reports.errors import thumbnails
from mmrec_bench.reports.errors.thumbnails import SIDE, Thumbnails

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 600, 3), np.uint8)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no picture")
    (tmp_path / "secret.txt").write_text("not a picture")
    return tmp_path


def test_a_picture_is_small_and_whole(folder: Path) -> None:
    for name in ("a", "b"):
        found = Thumbnails(folder).of(name)
        assert found is not None
        kind, _, content = found.partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.size == (SIDE, SIDE // 2)


@pytest.mark.parametrize("name", ["broken", "secret", "none", "../a", "a.png"])
def test_what_is_no_picture_of_the_folder_is_not_shown(folder: Path, name: str) -> None:
    assert Thumbnails(folder).of(name) is None


def test_a_full_page_takes_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(base64.b64decode((Thumbnails(folder).of("a") or "").partition(",")[2]))
    monkeypatch.setattr(thumbnails, "LIMIT", size + size // 2)
    pictures = Thumbnails(folder)
    assert pictures.of("a") is not None
    assert pictures.of("b") is None
    assert pictures.of("a") is not None
    assert pictures.left_out == 1


def test_a_missing_folder_and_a_missing_package_are_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no such folder of pictures"):
        Thumbnails(folder / "none")
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"mmrec-bench\[images\]"):
        Thumbnails(folder)


def test_items_whose_id_is_no_file_name_are_found_where_they_were_put(folder: Path) -> None:
    (folder / "b.jpg").rename(folder / f"{picture_stem('b/7')}.jpg")
    assert Thumbnails(folder).of("b/7") is not None
