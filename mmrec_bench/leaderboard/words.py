"""Types that the documents of a leaderboard share: names, plain text, digests."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field

from mmrec_bench.settings import explained_error

Part: TypeAlias = Literal["valid", "test"]
"""A held-out part."""
PARTS: tuple[Part, ...] = get_args(Part)
"""Both of them, in the order of time."""


def of_form(pattern: str, words: str) -> AfterValidator:
    """Return a validator of texts that match a pattern as a whole; it says in words what such texts are."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if form.fullmatch(text) is None:
            raise explained_error(f"needs {words}; got {text[:80]!r}")
        return text

    return AfterValidator(check)


Slug = Annotated[
    str,
    of_form(
        r"[a-z0-9][a-z0-9._-]{0,63}",
        "1 to 64 lower-case letters, digits, '.', '_' and '-', the first a letter or digit",
    ),
]
"""A name in paths: lower-case letters, digits, ``.``, ``_`` and ``-``."""

Digest = Annotated[str, of_form(r"[0-9a-f]{32}", "32 hexadecimal digits")]
"""BLAKE2b of 16 bytes, in hexadecimal digits."""


def plain(text: str) -> str:
    """Return the text if it is one line of words: no markup, no control characters, no marks that turn its direction.

    Raises:
        PydanticCustomError: It is none.
    """
    if not text.strip():
        raise explained_error("must not be empty")
    for letter in text:
        if letter in "<>":
            raise explained_error(f"must be plain text without '<' and '>'; got {text[:80]!r}")
        if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
            name = unicodedata.name(letter, f"character {ord(letter):#x}")
            raise explained_error(f"must be one line without control characters; got {text[:80]!r}, which has {name}")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(plain)]
"""One line of plain text."""


def canonical(content: Mapping[str, Any]) -> str:
    """Return plain data as the JSON text that is stored: indented, numbers unrounded."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
