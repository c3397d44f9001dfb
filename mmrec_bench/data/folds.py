"""A fold of the training part that a first stage does not see, so that a second stage can learn from its positives."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import NonNegativeInt

from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.provenance import TimePromise
from mmrec_bench.data.split_rule import TRAIN, Fraction, Labelled, SplitConfig, SplitRule, split_rule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.types import BoolArray

HELD = 3
"""Label of rows that belong to no part."""


@split_rule("without-fold")
class WithoutFold(SplitConfig):
    """Another split without a fold of its training part; the held-out parts stay as they are.

    Of a user's n training rows, ``max(1, floor(share * n))`` are in the fold; users with one row keep it.
    """

    name: Literal["without-fold"] = "without-fold"
    of: SplitRule
    """The split whose training part loses the fold."""
    share: Fraction = 0.2
    """Share of each user's training rows."""
    choose: Literal["latest", "random"] = "random"
    """Which rows: the latest in time, or any, by a seeded hash of the pair."""
    seed: NonNegativeInt = 0
    """Of the choice, and of the order of equal times."""

    def refusal(self, kind: Literal["interactions", "lists", "points"]) -> str | None:
        """Return why this rule, or the split that loses the fold, does not part such a payload."""
        return super().refusal(kind) or self.of.refusal(kind)

    @property
    def delivered(self) -> bool:
        """Whether those of the other split are."""
        return self.of.delivered

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return what the other split promises: fewer training rows break no promise."""
        return self.of.promise(delivered)

    def assign(self, interactions: Interactions) -> Labelled:
        """Return the labels of the other split, and `HELD` for the fold."""
        labelled = self.of.assign(interactions)
        labels = labelled.labels.copy()
        train = np.flatnonzero(labels == TRAIN)
        labels[train[self._in_fold(interactions.select(train))]] = HELD
        return Labelled(labels, labelled.notes)

    def _in_fold(self, train: Interactions) -> BoolArray:
        chance = pair_hash(train.users, train.items, self.seed, "fold")
        keys = [train.items, chance, train.users]
        if self.choose == "latest":
            if (clock := train.clock()) is None:
                raise ProtocolError(
                    "a fold of the latest rows needs timestamps or an order, and the data has neither; choose: random"
                )
            keys.insert(2, clock)
        order = np.lexsort(keys)
        counts = train.user_counts()
        sizes = np.where(counts > 1, np.maximum(1, np.floor(self.share * counts)), 0).astype(np.int64)
        ends = np.cumsum(counts)[train.users[order]]
        held = np.zeros(len(train), np.bool_)
        held[order] = np.arange(len(train)) >= ends - sizes[train.users[order]]
        return held
