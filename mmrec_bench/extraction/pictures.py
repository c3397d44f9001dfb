"""Pictures of items from files of strangers: decoded within limits, or refused with a reason."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_bench.extras import import_pillow

MAX_BYTES = 64 << 20
"""A larger file is not opened."""
MAX_PIXELS = 64_000_000
"""A picture of more pixels is refused by its header, before any of them is decoded."""
MAX_SIDE = 2048
"""Larger pictures are scaled down to so many pixels a side; encoders look at a few hundred."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
"""Formats of shops; Pillow's decoders of others are not let near files of strangers."""


class PictureError(Exception):
    """A file that gives no picture; the text is the reason by which such files are counted."""


def open_picture(path: Path) -> Any:
    """Return the picture of a file in RGB: turned upright, the first one of an animation, on white where transparent.

    Raises:
        PictureError: There is no file, it is too large, or it is no whole picture.
        MissingExtraError: Pillow is not installed.
    """
    library = import_pillow()
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise PictureError("no file") from None
    if size > MAX_BYTES:
        raise PictureError("file too large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bounds are wider, and only warn
            with library.Image.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise PictureError("too many pixels")
                picture.seek(0)
                return _rgb(library, picture)
    except PictureError:
        raise
    except Exception as error:  # damaged files raise nearly anything
        reasons = {"UnidentifiedImageError": "unknown kind of file", "DecompressionBombError": "too many pixels"}
        raise PictureError(reasons.get(type(error).__name__, "broken picture")) from None


def _rgb(library: Any, picture: Any) -> Any:
    import PIL.ImageOps

    upright = PIL.ImageOps.exif_transpose(picture)
    if upright.mode in ("I;16", "I", "F"):  # more than 8 bits of brightness, which `convert` would cut off
        values = np.asarray(upright, np.float64)
        values = (values - values.min()) * (255.0 / max(float(np.ptp(values)), 1e-9))
        upright = library.Image.fromarray(values.astype(np.uint8))
    if upright.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in upright.info:
        shown = upright.convert("RGBA")
        white = library.Image.new("RGBA", shown.size, (255, 255, 255, 255))
        upright = library.Image.alpha_composite(white, shown)
    shown = upright.convert("RGB")
    shown.thumbnail((MAX_SIDE, MAX_SIDE))  # does nothing to smaller ones
    return shown
