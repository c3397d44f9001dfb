"""The one place where ranked lists get their order: falling score, ties by seeded hash, excluded items left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_bench.retrieval.base import PAD_ITEM
from mmrec_bench.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a back-end fetched for B users.

    Attributes:
        items: int64 ``[B, w]``, `PAD_ITEM` in unused slots.
        scores: float32 ``[B, w]``, falling along each row, -inf in unused slots.
        bound: No item left out of the row that could still matter scores above it; float32 ``[B]``, -inf where
            there is none.
    """

    items: IntArray
    scores: FloatArray
    bound: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """The first k items of B users in canonical order.

    Attributes:
        items: int64 ``[B, k]``, `PAD_ITEM` where no candidate is left.
        scores: float32 ``[B, k]``, -inf at padding.
        settled: Whether the row is final, bool ``[B]``; otherwise an item that was not fetched may belong to it.
    """

    items: IntArray
    scores: FloatArray
    settled: BoolArray


def canonical_top_k(candidates: Candidates, dropped: BoolArray, ties: IntArray, k: int) -> TopK:
    """Drop candidates and bring the first k of the others into canonical order (-score, tie rank).

    Only rows in which two fetched scores are equal are sorted; the others have but one order, the fetched one.

    Args:
        candidates: What was fetched.
        dropped: Candidates that must not be ranked, bool ``[B, w]``; unused slots are dropped in any case.
        ties: Tie rank of each item, int64 ``[n_items]``.
        k: Length of the lists.
    """
    items, scores = candidates.items, candidates.scores
    if items.shape[1] < k:
        missing = ((0, 0), (0, k - items.shape[1]))
        items = np.pad(items, missing, constant_values=PAD_ITEM)
        scores = np.pad(scores, missing, constant_values=-np.inf)
        dropped = np.pad(dropped, missing, constant_values=True)
    dropped = dropped | (items < 0)
    order = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    equal = (scores[:, 1:] == scores[:, :-1]) & (scores[:, 1:] > -np.inf)
    tied = np.flatnonzero(equal.any(axis=1))
    if len(tied):
        falling = np.where(dropped[tied], np.inf, -scores[tied])
        order[tied] = np.lexsort((ties[items[tied]], falling), axis=1)[:, :k]
    absent = np.take_along_axis(dropped, order, axis=1)
    top_items = np.take_along_axis(items, order, axis=1)
    top_scores = np.take_along_axis(scores, order, axis=1)
    if absent.any():
        top_items[absent] = PAD_ITEM
        top_scores[absent] = -np.inf
    settled = (candidates.bound < top_scores[:, -1]) | (candidates.bound == -np.inf)
    return TopK(top_items, top_scores, settled)
