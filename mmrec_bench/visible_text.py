"""Texts of others as terminals, logs and people may see them."""

from __future__ import annotations

import re
import unicodedata

BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and signs that nobody sees; Unicode counts them among those that are printed."""
_SELECTOR = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Marks that choose how the letter before them looks, and are not to be seen themselves."""


def is_hidden(letter: str) -> bool:
    """Return whether a letter controls what stands around it, turns its direction, or is not to be seen."""
    kind, place = unicodedata.category(letter), ord(letter)
    if place & 0xFFFE == 0xFFFE or 0xFDD0 <= place <= 0xFDEF:  # which Unicode has set apart for no letter, ever
        return True
    return letter in BLANK or kind in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") or _SELECTOR.match(letter) is not None


def visible(text: str) -> str:
    """Return a text in which letters that control a terminal or a log, or are not to be seen, are escaped."""
    return "".join(ascii(letter)[1:-1] if is_hidden(letter) else letter for letter in text)


def visible_lines(text: str) -> str:
    """Return a text of several lines, each of them visible."""
    return "\n".join(map(visible, text.split("\n")))
