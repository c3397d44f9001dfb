"""Writing reports: an old one stays whole until the new one is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmrec_bench.errors import ResourceError


def write_all(folder: Path, contents: Mapping[str, str | bytes]) -> tuple[Path, ...]:
    """Write texts and bytes by file name and return their paths.

    Raises:
        ResourceError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            partial = folder / f".{name}.partial"
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(folder / name)
    except OSError as error:
        raise ResourceError(f"cannot write the report to {folder}: {error.strerror or error}") from None
    return tuple(folder / name for name in contents)
