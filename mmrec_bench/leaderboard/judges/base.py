"""What the judges of all tasks share: they check the lists of one seed, and find all problems at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from mmrec_bench.leaderboard.findings import Findings, shown
from mmrec_bench.leaderboard.lists import Kind, ListTable, RowCount, Texts
from mmrec_bench.leaderboard.truth import Truth
from mmrec_bench.leaderboard.words import PARTS
from mmrec_bench.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What lists look like in which nothing is wrong.

    Attributes:
        cells: What was placed where in the test part, int64 ``[N]``: near-copies of a system agree in almost all.
        ties: Share of neighbours in test lists with equal scores.
    """

    cells: IntArray
    ties: float


class Judge(ABC):
    """Checks the lists of a task; what they are worth is for `leaderboard.scoring` to say.

    Args:
        truth: The data of the track.
    """

    columns: ClassVar[Mapping[str, Kind]]
    """Columns of its lists."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    @property
    @abstractmethod
    def n_rows(self) -> RowCount:
        """Rows that the lists of a seed have."""

    def check(self, table: ListTable, checker: Checker) -> Looks | None:
        """Check lists of both parts and note all that is wrong; return what they look like where nothing is."""
        if not checker.parts(table):
            return None
        return [self._looks(table.of(part), part, checker) for part in self._truth.parts][-1]

    @abstractmethod
    def _looks(self, rows: ListTable, part: str, checker: Checker) -> Looks | None:
        """Check the lists of one part, likewise."""


@dataclass(slots=True)
class Checker:
    """Notes what is wrong with one file.

    Attributes:
        file: Its name.
        findings: Of the submission.
        n_failed: Checks that failed.
    """

    file: str
    findings: Findings
    n_failed: int = field(default=0)

    def refuse(self, wrong: Any, name: str, what: str, example: Callable[[int], str] | None = None) -> bool:
        """Fail a check where any row of bool ``[N]`` is wrong, with their number; return whether it did."""
        if not (count := int(wrong.sum())):
            return False
        first = "" if example is None else f", first {example(int(np.flatnonzero(wrong)[0]))}"
        self.fail(name, f"{count:,} {what}{first}")
        return True

    def fail(self, name: str, reason: str) -> None:
        """Fail a check."""
        self.n_failed += 1
        self.findings.fail(name, self.file, reason)

    def known(self, texts: Texts, known: pd.Index, what: str) -> IntArray | None:
        """Return the rows of known ids, or fail the check of ids."""
        if unknown := texts.unknown(known):
            self.fail("ids", f"{len(unknown):,} unknown {what} ids, such as {shown(unknown[0])}")
            return None
        return texts.rows(known)

    def parts(self, table: ListTable) -> bool:
        """Check that both parts are there, and no other."""
        used = {table.texts["part"].values[code] for code in np.unique(table.texts["part"].codes)}
        if used != set(PARTS):
            self.fail("parts", f"needs the parts valid and test; has {', '.join(map(shown, sorted(used))) or 'none'}")
            return False
        return True


def check_form(table: ListTable, checker: Checker, numbers: tuple[str, ...]) -> None:
    """Check what can be checked without data: parts, and numbers that are numbers."""
    checker.parts(table)
    for name in numbers:
        checker.refuse(
            ~np.isfinite(table.numbers[name]), "scores", f"values of {name} are no finite numbers of 32 bits"
        )


def falling(
    checker: Checker, part: str, scores: Any, ties: IntArray, inside: BoolArray, users: IntArray, names: pd.Index
) -> float:
    """Check that scores fall along each row of a table, equal ones in canonical order, and return the share of these.

    Args:
        checker: Notes what is wrong.
        part: Which part.
        scores: ``[n, k]``, finite where inside.
        ties: Place of each item among equals, int64 ``[n, k]``.
        inside: Which are no padding, bool ``[n, k]``.
        users: User or list of each row, for messages.
        names: Their names.
    """
    both = inside[:, 1:] & inside[:, :-1]
    left, right = scores[:, :-1], scores[:, 1:]
    equal = both & (left == right)

    def where(row: int) -> str:
        return f"{names[users[row]]!r} of {part}"

    checker.refuse((both & (left < right)).any(axis=1), "scores", f"lists of {part} have rising scores", where)
    disordered = (equal & (ties[:, :-1] > ties[:, 1:])).any(axis=1)
    checker.refuse(disordered, "ties", f"lists of {part} have equal scores in other than the canonical order", where)
    return float(equal.sum() / max(both.sum(), 1))
