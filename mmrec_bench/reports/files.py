"""Writing reports: an old one stays whole until the new one is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmrec_bench.errors import ResourceError


def write_all(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write texts by file name and return their paths.

    Raises:
        ResourceError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            partial = folder / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise ResourceError(f"cannot write the report to {folder}: {error.strerror or error}") from None
    return tuple(folder / name for name in texts)
