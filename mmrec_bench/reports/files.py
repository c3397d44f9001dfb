"""Writing reports: an old one stays whole until the new one is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmrec_bench.errors import ResourceError
from mmrec_bench.files import replace_file


def write_all(folder: Path, contents: Mapping[str, str | bytes]) -> tuple[Path, ...]:
    """Write texts and bytes by path below the folder, and return their paths.

    Raises:
        ResourceError: The folder cannot be written.
    """
    try:
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ResourceError(f"cannot write the report to {folder}: {error.strerror or error}") from None
    return tuple(folder / name for name in contents)
