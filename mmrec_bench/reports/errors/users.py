"""What is shown of a user: history, what was wanted, and what two models put first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pandas as pd

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.errors.items import ItemViews

Part: TypeAlias = Literal["valid", "test"]

HISTORY = 20
"""Items of a history that are shown, the latest."""
SHOWN = 20
"""Places of a list that are shown, at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item that a user wanted.

    Attributes:
        item_id: External id.
        ranks: Its place in both lists, from 1; None where a list does not hold it.
    """

    item_id: str
    ranks: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Placed:
    """An item of a list.

    Attributes:
        rank: Its place, from 1.
        item_id: External id.
        hit: Whether the user wanted it; None where that is not known.
        shared: Whether the shown part of the other list holds it, too.
    """

    rank: int
    item_id: str
    hit: bool | None
    shared: bool


@dataclass(frozen=True, slots=True)
class UserView:
    """One user, or one list of a user where lists are ranked.

    Attributes:
        user_id: External id.
        number: Number of the list; None where a user has one list.
        scores: The metric in both runs.
        history: Items of the training part, the latest first where time is known; at most `HISTORY`.
        n_history: How many there are.
        wanted: What the user wanted; None where that is not known.
        lists: What both models put first.
    """

    user_id: str
    number: int | None
    scores: tuple[float, float]
    history: tuple[str, ...]
    n_history: int
    wanted: tuple[Wanted, ...] | None
    lists: tuple[tuple[Placed, ...], tuple[Placed, ...]]

    def items(self) -> Iterator[str]:
        """Yield all items that are shown, some of them more than once."""
        yield from (one.item_id for one in self.wanted or ())
        yield from (one.item_id for listed in self.lists for one in listed)
        yield from self.history


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of two runs.

    Attributes:
        lists: Of each run, the rows of its rankings by key, best first; a key is a user, or the number of a list and
            its user.
        items: What is known of users and items.
        part: The part of the split.
        shown: Places of a list that are shown.
    """

    lists: tuple[Mapping[Hashable, pd.DataFrame], Mapping[Hashable, pd.DataFrame]]
    items: ItemViews
    part: Part
    shown: int

    @classmethod
    def of(
        cls, runs: tuple[RunArtefact, RunArtefact], part: Part, keys: Sequence[str], metric: str, items: ItemViews
    ) -> Lists:
        """Read the lists of a part; as many places are shown as the metric looks at, and no more than `SHOWN`."""
        cutoff = metric.partition("@")[2]
        both: list[Mapping[Hashable, pd.DataFrame]] = []
        for run in runs:
            table = run.rankings()
            table = table[table["part"] == part].sort_values([*keys, "rank"])
            key = list(keys) if len(keys) > 1 else keys[0]
            groups: Iterator[tuple[Hashable, pd.DataFrame]] = iter(table.groupby(key, observed=True, sort=False))
            both.append(dict(groups))
        return cls((both[0], both[1]), items, part, min(int(cutoff), SHOWN) if cutoff else SHOWN)

    def view(self, key: Hashable, scores: tuple[float, float]) -> UserView:
        """Return what is shown of one user."""
        number, user = key if isinstance(key, tuple) else (None, key)
        rows = [lists.get(key) for lists in self.lists]
        ids = [[] if found is None else found["item_id"].astype(str).tolist() for found in rows]
        labelled = _labelled(rows)
        truth = self.items.wanted(str(user), self.part) if labelled is None else labelled
        history = self.items.history(str(user))
        ranks = [{item: rank for rank, item in enumerate(listed, 1)} for listed in ids]
        return UserView(
            user_id=str(user),
            number=None if number is None else int(number),
            scores=scores,
            history=tuple(history[:HISTORY]),
            n_history=len(history),
            wanted=None
            if truth is None
            else tuple(Wanted(item, (ranks[0].get(item), ranks[1].get(item))) for item in truth),
            lists=(self._placed(rows[0], ids[1], truth), self._placed(rows[1], ids[0], truth)),
        )

    def _placed(
        self, found: pd.DataFrame | None, others: Sequence[str], truth: Sequence[str] | None
    ) -> tuple[Placed, ...]:
        """Return the shown part of a list, of which the other run's list is known."""
        if found is None:
            return ()
        top, beside = found.head(self.shown), set(others[: self.shown])
        return tuple(
            Placed(rank, str(item), None if truth is None else str(item) in truth, str(item) in beside)
            for rank, item in enumerate(top["item_id"], 1)
        )


def _labelled(rows: Sequence[pd.DataFrame | None]) -> tuple[str, ...] | None:
    """Return what is wanted where lists hold labels; None elsewhere."""
    for found in rows:
        if found is not None and "label" in found:
            return tuple(found.loc[found["label"] > 0, "item_id"].astype(str))
    return None
