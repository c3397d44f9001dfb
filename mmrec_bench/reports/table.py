"""Tables, made once and shown on the terminal, on a page, in Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pandas as pd

ABSENT = "-"

Mark: TypeAlias = Literal["best", "second"]
"""Whether a score stands among the best, or the second best, of its column; see `mmrec_bench.reports.standing`."""


class Cell(str):
    """The text of a cell, the unrounded numbers behind it, and its mark; plain strings are cells without either.

    Attributes:
        numbers: Names and values; tables are sorted by the first. The name of a value that stands alone is empty.
        mark: The mark; None for most.
    """

    __slots__ = ("mark", "numbers")
    numbers: tuple[tuple[str, float], ...]
    mark: Mark | None

    def __new__(cls, text: str, numbers: Sequence[tuple[str, float]] = (), mark: Mark | None = None) -> Cell:
        """Return a cell."""
        made = super().__new__(cls, text)
        made.numbers, made.mark = tuple(numbers), mark
        return made

    @classmethod
    def of(cls, text: str) -> Cell:
        """Return a cell, which a plain string becomes."""
        return text if isinstance(text, Cell) else cls(text)

    def marked(self, mark: Mark | None) -> Cell:
        """Return the same cell with another mark."""
        return Cell(str(self), self.numbers, mark)


def seeds_in_words(counts: Iterable[int]) -> str:
    """Return numbers of seeds, such as ``n = 1/5 seeds``."""
    found = sorted(set(counts))
    return f"n = {'/'.join(map(str, found))} seed{'s' if found != [1] else ''}"


def number(value: float | None, form: str) -> Cell:
    """Return the cell of a number in a form such as ``.4f``; None is absent."""
    return Cell(ABSENT) if value is None else Cell(format(value, form), [("", float(value))])


def interval(low: float | None, high: float | None, form: str) -> Cell:
    """Return the cell of an interval; None is absent."""
    if low is None or high is None:
        return Cell(ABSENT)
    return Cell(f"[{low:{form}}, {high:{form}}]", [("low", low), ("high", high)])


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: Heading.
        note: One line under it that says what the numbers are.
        header: Column names; the first column is text, the others are numbers.
        rows: Cells.
    """

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def cells(self) -> list[list[Cell]]:
        """Return all rows as cells."""
        return [[Cell.of(cell) for cell in row] for row in self.rows]

    def numeric(self) -> list[bool]:
        """Return whether each column holds numbers."""
        cells = self.cells()
        return [any(row[place].numbers for row in cells) for place in range(len(self.header))]

    def markdown(self) -> str:
        """Return the table in Markdown, numbers aligned right; the best are bold, the second best underlined."""
        lines = [
            "| " + " | ".join(self.header) + " |",
            "|" + "|".join([" :-- "] + [" --: "] * (len(self.header) - 1)) + "|",
            *("| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in self.cells()),
        ]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"

    def frame(self) -> pd.DataFrame:
        """Return the table unrounded: a column a number of a cell, text where a column has no number."""
        columns: list[pd.Series] = []  # a list, for two columns may have one name
        for place, name in enumerate(self.header):
            column = [row[place] for row in self.cells()]
            names = list(dict.fromkeys(kind for cell in column for kind, _ in cell.numbers))
            if not names:
                columns.append(pd.Series([str(cell) for cell in column], name=name, dtype=object))
            for kind in names:
                values = [dict(cell.numbers).get(kind) for cell in column]
                columns.append(pd.Series(values, name=f"{name} {kind}".strip(), dtype=float))
        return pd.concat(columns, axis=1)


def _markdown(cell: Cell) -> str:
    text = cell.replace("|", "\\|")
    wrap = {"best": "**{}**", "second": "<ins>{}</ins>", None: "{}"}[cell.mark]
    return wrap.format(text)
