"""What is wrong with lines of raw files: counted by kind, with the first line of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from pydantic import NonNegativeInt, PositiveInt

from mmrec_bench.settings import BaseConfig

ProblemKind: TypeAlias = Literal[
    "not-utf8", "too-long", "cut-short", "not-json", "not-an-object", "columns", "user", "item", "rating", "time",
    "repeated-item", "repeated-pair", "title-junk", "title-type", "text-type", "text-cut", "vector",
]  # fmt: skip
"""Kinds of dirt; `MEANING` says each in words."""

MEANING: dict[ProblemKind, str] = {
    "not-utf8": "lines that are no UTF-8 text; left out",
    "too-long": "lines longer than 16 MiB; left out",
    "cut-short": "the file ends in the middle of a line, a record or its packed data; what is whole before is read",
    "not-json": "lines that are neither JSON nor a Python literal of at most 1 MiB; left out",
    "not-an-object": "lines of JSON that hold no object; left out",
    "columns": "lines with another number of columns; left out",
    "user": "rows without a usable user id (text or whole number, 1 to 255 characters); left out",
    "item": "rows without a usable item id (text or whole number, 1 to 255 characters); left out",
    "rating": "rows without a finite rating; left out",
    "time": "rows without a time in seconds before the year 5138; left out",
    "repeated-item": "further lines about an item; the first line of each item counts",
    "repeated-pair": "further rows of a pair of user and item, left out by the reader of the layout; the first counts",
    "title-junk": "titles that are code of a page instead of text; taken as missing",
    "title-type": "titles that are neither text nor a number; taken as missing",
    "text-type": "fields that hold neither text, numbers nor lists of these; taken as missing",
    "text-cut": "texts longer than 20,000 characters; cut",
    "vector": "records whose vector is all zero or not finite; taken as missing",
}
"""What each kind is, and what becomes of it."""


class Problem(BaseConfig):
    """One kind of dirt in one file."""

    file: str
    """Name of the file, below the raw folder."""
    kind: ProblemKind
    """What is wrong."""
    count: PositiveInt
    """How often."""
    first: NonNegativeInt
    """Number of the first line (or record, or row of Parquet) it was met in, from 1; 0 for the whole file."""

    def __str__(self) -> str:
        told = MEANING[self.kind] if self.kind == "cut-short" else f"{self.count:,} {MEANING[self.kind]}"
        return f"{self.file}: {told}" + f"; first in line {self.first}" * bool(self.first)


class Problems:
    """Counts problems as they are met, in any order."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ProblemKind], tuple[int, int]] = {}

    def add(self, file: str, kind: ProblemKind, line: int, count: int = 1) -> None:
        """Note that lines of a file have a problem.

        Args:
            file: Name of the file.
            kind: What is wrong.
            line: Its line; of several the first.
            count: How many lines there are.
        """
        if count:
            known, first = self._found.get((file, kind), (0, line))
            self._found[file, kind] = (known + count, min(first, line))

    def __iter__(self) -> Iterator[Problem]:
        """Yield what was found, by file and kind."""
        for (file, kind), (count, first) in sorted(self._found.items()):
            yield Problem(file=file, kind=kind, count=count, first=first)
