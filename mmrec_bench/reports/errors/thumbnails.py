"""Small pictures of items, held inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from mmrec_bench.errors import DataError
from mmrec_bench.experiments.features.contents import by_stem, picture_stem
from mmrec_bench.extras import import_pillow

SIDE = 96
"""Longest side of a picture, in pixels."""
LIMIT = 4_000_000
"""Bytes of all pictures of a page together; what comes after is left out."""


class Thumbnails:
    """Pictures from a folder of files named by external item ids, or by their `picture_stem`.

    Each is read when it is first asked for.

    Args:
        folder: The folder; it alone is read, whatever an id looks like.

    Attributes:
        left_out: How many pictures were asked for and had no room.

    Raises:
        DataError: It is no folder.
        MissingExtraError: Pillow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of pictures. Name one whose files are called by item ids")
        self._pillow = import_pillow("Or leave --images out")
        self._files = by_stem(folder)
        self._made: dict[str, str | None] = {}
        self._bytes = 0
        self.left_out = 0

    def of(self, item_id: str) -> str | None:
        """Return a picture as a data URL; None where there is none, it cannot be read, or the page is full."""
        if item_id not in self._made:
            path = self._files.get(item_id) or self._files.get(picture_stem(item_id))
            self._made[item_id] = None if path is None else self._read(path)
        return self._made[item_id]

    def _read(self, path: Path) -> str | None:
        try:
            with self._pillow.Image.open(path) as image:
                image.draft("RGB", (2 * SIDE, 2 * SIDE))
                small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
        except (OSError, ValueError, SyntaxError, self._pillow.Image.DecompressionBombError):
            return None
        content = io.BytesIO()
        small.save(content, "JPEG", quality=75)
        if self._bytes + content.tell() > LIMIT:
            self.left_out += 1
            return None
        self._bytes += content.tell()
        return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
