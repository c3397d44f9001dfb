"""Rows of a list file as it was written, and everything wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmrec_bench.errors import DataError

N_TOLD = 50
"""Problems that a message names."""
NO_RANK = -1


@dataclass(slots=True)
class Problems:
    """What is wrong with a file, collected so that all of it can be told at once.

    Attributes:
        path: The file.
        unit: What places are numbered by.
        found: Place, or None, and what is wrong.
    """

    path: Path
    unit: str = "line"
    found: list[tuple[int | None, str]] = field(default_factory=list)

    def add(self, place: int | None, message: str) -> None:
        """Note a problem at a place (from 1), or of the whole file."""
        self.found.append((place, message))

    def refuse(self) -> None:
        """Raise an error that names all problems, if there are any.

        Raises:
            DataError: There are.
        """
        if not self.found:
            return
        told = sorted(self.found, key=lambda one: (one[0] is None, one[0] or 0))
        lines = [f"  {message if place is None else f'{self.unit} {place}: {message}'}" for place, message in told]
        more = [f"  and {len(lines) - N_TOLD} more"] if len(lines) > N_TOLD else []
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise DataError("\n".join([f"{self.path}: {count}", *lines[:N_TOLD], *more]))


@dataclass(slots=True)
class Rows:
    """Rows of a list file, in the order of the file.

    Attributes:
        problems: What is wrong so far.
        places: Line, or row, that each was read from, counted from 1.
        users: User, as the file calls it.
        items: Item, as the file calls it.
        scores: Score, NaN where the format has none.
        ranks: Rank as told, counted from the first that the format has, `NO_RANK` where it tells none.
    """

    problems: Problems
    places: list[int] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)

    def add(self, place: int, user: str, item: str, score: str | float | None = None, rank: object = None) -> None:
        """Note a row, or what is wrong with it."""
        value = _number(score)
        told = NO_RANK if rank is None else _whole(rank)
        if not user or not item:
            self.problems.add(place, f"the {'item' if user else 'user'} is empty")
        elif value is None:
            self.problems.add(place, f"score must be a finite number; got {str(score)[:40]!r}")
        elif told is None:
            self.problems.add(place, f"rank must be a whole number from 0 on; got {str(rank)[:40]!r}")
        else:
            self.places.append(place)
            self.users.append(user)
            self.items.append(item)
            self.scores.append(value)
            self.ranks.append(told)


def _number(score: str | float | None) -> float | None:
    """Return a finite number, NaN where there is no score, None for what is no number."""
    if score is None:
        return float("nan")
    try:
        value = float(score)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in str(score) else None


def _whole(rank: object) -> int | None:
    text = str(rank)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text that are not blank, with their numbers from 1.

    Raises:
        DataError: It cannot be read, or is no such text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text: {error.reason} at byte {error.start}") from None
