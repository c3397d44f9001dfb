"""Text of runs and submissions in Markdown."""

from __future__ import annotations

import re
from html import escape


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", escape(" ".join(text.split()), quote=False))
