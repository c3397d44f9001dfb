"""Text of runs and submissions in Markdown."""

from __future__ import annotations

import re
from html import escape

APART = "<!-- -->"
"""What parts letters that would be read together, and is not shown."""


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line; no address, name or formula of it comes to life."""
    found = re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", escape(" ".join(text.split()), quote=False))
    found = re.sub(r"(://|@|www(?=\.))", lambda told: told[0][0] + APART + told[0][1:], found, flags=re.IGNORECASE)
    return found.replace("$", "<span>$</span>")
