"""Files of strangers give pictures in RGB, or a reason; the colour and edge histogram knows what is alike."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.extraction.colour_edges import ColourEdgesConfig
from mmrec_bench.extraction.pictures import PictureError, open_picture

image = pytest.importorskip("PIL.Image")


def saved(path: Path, picture: Any, **told: Any) -> Path:
    picture.save(path, **told)
    return path


def half_red() -> Any:
    """The left half is red, the right one blue."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8, 0], pixels[:, 8:, 2] = 255, 255
    return image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "CMYK", "RGBA", "1", "I;16", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    if mode in ("I;16", "F"):
        values = np.linspace(0, 60000, 100).reshape(10, 10)
        picture = image.fromarray(values.astype({"I;16": np.uint16, "F": np.float32}[mode]))
    else:
        picture = half_red().convert(mode)
    found = open_picture(saved(tmp_path / "a.tiff", picture))
    assert (found.mode, found.size) == ("RGB", picture.size)
    assert len(np.unique(np.asarray(found))) > 1


def test_transparent_is_white(tmp_path: Path) -> None:
    found = open_picture(saved(tmp_path / "a.png", image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    assert np.asarray(found).min() == 255


def test_turned_upright(tmp_path: Path) -> None:
    exif = image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    found = open_picture(saved(tmp_path / "a.png", half_red(), exif=exif))
    assert found.size == (8, 16)
    assert np.asarray(found)[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(found)[-1, 0].tolist() == [0, 0, 255]


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    found = open_picture(saved(tmp_path / "a.png", half_red().resize((4000, 500))))
    assert found.size == (2048, 256)
    assert np.asarray(found)[0, 0].tolist() == [255, 0, 0]


def test_the_first_of_an_animation(tmp_path: Path) -> None:
    frames = [image.new("RGB", (6, 6), colour) for colour in ("lime", "red", "blue")]
    found = open_picture(saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:]))
    assert np.asarray(found)[0, 0].tolist() == [0, 255, 0]


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that only says how large it is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_what_gives_no_picture_has_a_reason(tmp_path: Path) -> None:
    whole = saved(
        tmp_path / "whole.png",
        image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)),
    ).read_bytes()
    files = {
        "too many pixels": png_of(100_000, 100_000),
        "broken picture": whole[: len(whole) // 2],
        "unknown kind of file": b"<html>404</html>",
    }
    for reason, content in files.items():
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(PictureError, match=f"^{reason}$"):
            open_picture(tmp_path / "a.png")
    with pytest.raises(PictureError, match="no file"):
        open_picture(tmp_path / "b.png")
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(PictureError, match="file too large"):
        open_picture(tmp_path / "a.png")


def test_colours_and_edges_know_what_is_alike() -> None:
    encoder = ColourEdgesConfig().build(torch.device("cpu"))
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    pictures = [
        half_red(),
        half_red().resize((200, 100)),
        image.fromarray(stripes),
        image.fromarray(stripes.transpose(1, 0, 2).copy()),
        image.new("RGB", (9, 9), "white"),
    ]
    vectors = encoder.encode(pictures)
    assert vectors.shape == (5, 200)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.95, "of another size"
    assert cosines[2, 3] < 0.6, "the same colours, other edges"
    assert cosines[0, 2] < 0.6, "other colours"
