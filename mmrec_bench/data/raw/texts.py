"""Texts of items as pages of shops give them: entities, markup and code are taken out."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from typing import Any

MAX_TEXT = 20_000
"""Characters of a text that are kept."""

_DEEPEST = 10
"""Lists within lists that are looked into."""

_CODE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?=[a-zA-Z/!?])[^<>]*(>|$)")
_JUNK = re.compile(r"\bvar\s+aPageStart\b|\.getTime\(\)|/>|\bfunction\s*\(")
"""What is left where a page was cut in the middle of its code; no product is called so."""


def plain_text(text: str) -> str:
    """Return a text without markup, entities and repeated white space."""
    for _ in range(3):  # some were escaped twice
        if (unescaped := html.unescape(text)) == text:
            break
        text = unescaped
    text = _TAG.sub(" ", _CODE.sub(" ", text))
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text).split())


def is_junk(title: str) -> bool:
    """Return whether a title, before it is cleaned, is code of a page: it holds nothing else, or remains of it."""
    return bool(_JUNK.search(title)) or (bool(title.strip()) and not plain_text(title))


def pieces(value: Any) -> list[str] | None:
    """Return a field as clean texts, one for each entry of a list; None for what holds neither text nor numbers.

    Lists within lists, such as paths of categories, become one list without repeats; an object becomes texts such as
    ``Publisher: Acme``.
    """
    try:
        return [text for text in dict.fromkeys(_pieces(value, _DEEPEST)) if text]
    except TypeError:
        return None


def _pieces(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts of a field.

    Raises:
        TypeError: It holds something else, or is too deep.
    """
    if isinstance(value, str):
        yield plain_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        return  # how tables tell that nothing is there
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list) and depth:
        for entry in value:
            yield from _pieces(entry, depth - 1)
    elif isinstance(value, dict) and depth:
        for key, entry in value.items():
            name = plain_text(key).rstrip(" :")
            yield from (f"{name}: {text}" for text in _pieces(entry, depth - 1) if text)
    elif value is not None:
        raise TypeError
