"""Ranking sharded by users, with the lists of an unsharded one, bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from mmrec_bench.retrieval.base import PAD_ITEM, Exclusions, Rankings, Representations, Retriever, Scoring
from mmrec_bench.types import IntArray


class WindowedRetriever(Retriever, Protocol):
    """A retriever that ranks users in windows, each of which does not depend on the others."""

    @property
    def server(self) -> str:
        """Name under `Rankings.served` of what ranks them."""

    def windows(
        self, scoring: Representations, users: IntArray, k: int, exclude: Exclusions, ties: IntArray
    ) -> list[IntArray]:
        """Return the places of users that are ranked together, in order; arguments are those of `top_k`."""


RankShards: TypeAlias = Callable[[Representations, Sequence[IntArray], int, Exclusions, IntArray], list[Rankings]]
"""Ranks for the users of each shard, with a retriever of the same kind and settings, anywhere."""


class ShardedRetriever:
    """Has shards of the users ranked elsewhere, and puts their lists together (implements `Retriever`).

    Matrix products add in another order at the edge of a block, so shards are cut only between the windows that the
    retriever would rank one after another: each product has the same shape and content as before, and the same bits.
    What cannot be cut so is ranked here, unsharded: models without vectors, fewer than two windows, and, where ties
    reach beyond what was fetched for some users, all of them, for the dense back-end then ranks these together.

    Args:
        inner: The unsharded retriever.
        n_shards: How many shards, at most.
        rank: Ranks them.
    """

    def __init__(self, inner: WindowedRetriever, n_shards: int, rank: RankShards) -> None:
        self._inner, self._n_shards, self._rank = inner, n_shards, rank

    def top_k(self, scoring: Scoring, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> Rankings:
        """Rank; see `Retriever.top_k`."""
        if isinstance(scoring, Representations):
            shards = _shards(self._inner.windows(scoring, users, k, exclude, ties), self._n_shards)
            if len(shards) > 1:
                found = self._rank(scoring, [users[rows] for rows in shards], k, exclude, ties)
                if all(set(part.served) == {self._inner.server} for part in found):
                    return _together(users, k, shards, found)
        return self._inner.top_k(scoring, users, k, exclude, ties)


def _shards(windows: Sequence[IntArray], n_shards: int) -> list[IntArray]:
    """Return runs of windows of about equal numbers of users, as places."""
    if not windows:
        return []
    sizes = np.array([len(window) for window in windows])
    of_window = (np.cumsum(sizes) - sizes) * n_shards // sizes.sum()
    return [
        np.concatenate([window for window, shard in zip(windows, of_window, strict=True) if shard == number])
        for number in np.unique(of_window)
    ]


def _together(users: IntArray, k: int, shards: Sequence[IntArray], found: Sequence[Rankings]) -> Rankings:
    items = np.full((len(users), k), PAD_ITEM, np.int64)
    scores = np.full((len(users), k), -np.inf, np.float32)
    served: Counter[str] = Counter()
    for rows, part in zip(shards, found, strict=True):
        items[rows], scores[rows] = part.items, part.scores
        served.update(part.served)
    return Rankings(users, items, scores, dict(served))
