"""What an inspection is made of: sections of facts, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.table import Cell, Table, number
from mmrec_bench.types import IntArray

QUANTILES = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}

MUCH = 0.1
"""Share of items from which on what is missing or repeated is warned of."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report.

    Attributes:
        name: Anchor and key in JSON, such as ``sizes``.
        title: Heading.
        facts: Sentences; those that begin with ``Careful`` are warnings, repeated at the top.
        tables: Tables.
        plots: Plots.
        data: The numbers behind it, unrounded and plain, for JSON.
    """

    name: str
    title: str
    facts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Who met what, whichever payload it comes from.

    Attributes:
        users: int64 ``[n]``.
        items: int64 ``[n]``.
        n_users: Users of the data set.
        n_items: Items of the catalogue.
        timestamps: Seconds UTC, int64 ``[n]``, where they are known.
        noun: What a row is.
    """

    users: IntArray
    items: IntArray
    n_users: int
    n_items: int
    timestamps: IntArray | None
    noun: str

    @classmethod
    def of(cls, payload: Interactions | Lists) -> Rows:
        """Return the rows of interactions, or of all lists together."""
        if isinstance(payload, Interactions):
            return cls(
                payload.users, payload.items, payload.n_users, payload.n_items, payload.timestamps, "interactions"
            )
        times = None if payload.timestamps is None else payload.timestamps[payload.list_of]
        return cls(
            payload.users[payload.list_of], payload.items, payload.n_users, payload.n_items, times, "rows of lists"
        )

    def user_degrees(self) -> IntArray:
        """Return the number of rows of each user, int64 ``[n_users]``."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.int64)

    def item_degrees(self) -> IntArray:
        """Return the number of rows of each item, int64 ``[n_items]``."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)


def quantiles(values: NDArray[Any]) -> dict[str, float]:
    """Return quantiles and the mean of numbers, of which there is one at least."""
    found = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    return {**dict(zip(QUANTILES, map(float, found), strict=True)), "mean": float(values.mean())}


def quantile_row(name: str, told: dict[str, float]) -> tuple[str, ...]:
    """Return the row of a table of quantiles."""
    return (name, *(number(told[key], ".2f" if key == "mean" else ",.0f") for key in (*QUANTILES, "mean")))


def share(part: float, whole: float) -> Cell:
    """Return a share in percent; absent where there is no whole."""
    return number(part / whole if whole else None, ".1%")


def percent(part: float, whole: float) -> str:
    """Return a share in percent as text: with two digits where it is small."""
    ratio = part / whole if whole else 0.0
    return f"{ratio:.2%}" if 0 < ratio < 0.01 else f"{ratio:.1%}"


def named(item_id: str, title: str) -> str:
    """Return an item as sentences name it."""
    return f"'{title[:60]}' [{item_id}]" if title else item_id


def warned(fact: str, part: float, whole: float, bound: float = MUCH) -> str:
    """Return a fact, as a warning where a share is larger than the bound."""
    return f"Careful: {fact}" if part > bound * whole else fact


def careful(facts: Sequence[str]) -> list[str]:
    """Return the warnings among facts."""
    return [fact for fact in facts if fact.startswith("Careful")]
