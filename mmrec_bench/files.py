"""Files that are whole or not there, whoever else writes them."""

from __future__ import annotations

import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, so that others see the old one or the new one, whole.

    Processes that write the same file at once do not meet: the last one's stays.

    Raises:
        OSError: It cannot be written; an old one is untouched.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:  # never through a link
            file.write(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
