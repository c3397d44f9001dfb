"""Types that the documents of a leaderboard share: names, plain text, digests."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field

from mmrec_bench.settings import Slug, explained_error, of_form, seen

Part: TypeAlias = Literal["valid", "test"]
"""A held-out part."""
PARTS: tuple[Part, ...] = get_args(Part)
"""Both of them, in the order of time."""


Digest = Annotated[str, of_form(r"[0-9a-f]{32}", "32 hexadecimal digits")]
"""BLAKE2b of 16 bytes, in hexadecimal digits."""

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "index", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
"""Names that some file systems keep for themselves, with any ending, and that of the first page of a site."""


def _free(name: str) -> str:
    if name.partition(".")[0] in RESERVED or name.endswith((".", ".html")):
        raise explained_error(f"ends in '.' or '.html', or is a name that files cannot have everywhere; got {name!r}")
    return name


EntryName = Annotated[Slug, AfterValidator(_free)]
"""A name of a folder, and of a page, anywhere."""

MAX_MARKS = 2
"""Marks that may stand on one letter."""


def one_line(text: str) -> str:
    """Return the text if it is of one line: no markup, no control characters, no marks that turn its direction.

    Raises:
        PydanticCustomError: It is none.
    """
    if set(text) & set("<>"):
        raise explained_error(f"must be plain text without '<' and '>'; got {text[:80]!r}")
    return seen(text)


def plain(text: str) -> str:
    """Return the text if it is one line of words that looks like no other text; see `one_line`.

    Raises:
        PydanticCustomError: It is none, holds no letter and no digit, or could be written in a shorter way.
    """
    kinds = "".join(unicodedata.category(letter)[0] for letter in one_line(text))
    if not set(kinds) & set("LN"):
        raise explained_error(f"must hold a letter or a digit; got {text[:80]!r}")
    if " ".join(text.split()) != text:
        raise explained_error(f"needs words with one plain blank between them, and none around; got {text[:80]!r}")
    if not unicodedata.is_normalized("NFC", text):
        raise explained_error(f"must hold letters and their marks as one, as in Unicode NFC; got {text[:80]!a}")
    if "M" * (MAX_MARKS + 1) in kinds:
        raise explained_error(f"may hold {MAX_MARKS} marks on a letter; got {text[:80]!a}")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(plain)]
"""One line of plain text."""


def canonical(content: Mapping[str, Any]) -> str:
    """Return plain data as the JSON text that is stored: indented, numbers unrounded."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
