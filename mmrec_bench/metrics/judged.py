"""Lists of graded labels in ranked order, checked, with their ideal order; and the values of a metric on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmrec_bench.errors import ProtocolError
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

PADDING = -1

EmptyRule = Literal["skip", 0, 1]
"""What a list without any relevant item gets. ``skip``: it stands in no mean. 0 or 1: this value, and it counts."""

Gain = Literal["exp2", "linear", "binary"]
"""Of a label y. ``exp2``: 2^y - 1. ``linear``: y. ``binary``: 1 where y >= 1."""

MAX_EXPONENT = 1000
"""Labels above it have no gain 2^y - 1 in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class GradedValues:
    """A metric of each list at each cutoff.

    Attributes:
        values: float64 ``[n, len(cutoffs)]``, unrounded, never NaN; 0 for lists that are skipped.
        counted: Whether a list stands in means, bool ``[n]``.
        n_empty: Lists without any relevant item, whatever becomes of them.
    """

    values: DoubleArray
    counted: BoolArray
    n_empty: int

    def mean(self) -> DoubleArray:
        """Return the mean over counted lists at each cutoff, float64 ``[len(cutoffs)]``.

        Raises:
            ProtocolError: No list counts.
        """
        if not self.counted.any():
            raise ProtocolError(f"a mean needs a list with a relevant item; got {len(self.counted)} lists without any")
        return np.asarray(self.values[self.counted].mean(axis=0), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Labels of ranked lists; make it with `judged`.

    Attributes:
        ranked: int64 ``[n, L]``, -1 = padding at the end.
        missed: Relevant items of label 1 that a list lacks, int64 ``[n]``.
        cutoffs: Values of k, at least 1, int64.
    """

    ranked: IntArray
    missed: IntArray
    cutoffs: IntArray

    @property
    def depth(self) -> int:
        """The largest cutoff; lists may be shorter."""
        return int(self.cutoffs.max(initial=1))

    @property
    def n_relevant(self) -> IntArray:
        """Relevant items (label 1 or more) of each list, missed ones included, int64 ``[n]``."""
        return np.asarray((self.ranked > 0).sum(axis=1) + self.missed, np.int64)

    @property
    def max_label(self) -> int:
        """The largest label of all lists, at least 1."""
        return int(self.ranked.max(initial=1))

    def top(self) -> IntArray:
        """Return the first `depth` ranks, padded where lists are shorter, int64 ``[n, depth]``."""
        return fitted(self.ranked, self.depth)

    def ideal(self) -> IntArray:
        """Return the labels of the best order, missed items included, int64 ``[n, depth]``."""
        best = fitted(np.sort(self.ranked, axis=1)[:, ::-1], self.depth)
        places, missed = np.arange(self.depth), self.missed[:, None]
        above = (self.ranked > 1).sum(axis=1, keepdims=True)
        n_items = (self.ranked != PADDING).sum(axis=1, keepdims=True) + missed
        below = np.where(places < self.n_relevant[:, None], 1, np.where(places < n_items, 0, PADDING))
        return np.where(places < above, best, below)

    def settle(self, values: DoubleArray, empty: EmptyRule) -> GradedValues:
        """Return values of lists ``[n, depth]`` at the cutoffs, with the rule for lists without relevant items."""
        chosen = values[:, self.cutoffs - 1]
        is_empty = self.n_relevant == 0
        chosen[is_empty] = 0.0 if empty == "skip" else float(empty)
        counted = ~is_empty if empty == "skip" else np.ones_like(is_empty)
        return GradedValues(chosen, counted, int(is_empty.sum()))


def judged(ranked: IntArray, cutoffs: Sequence[int], missed: IntArray | None = None) -> Judged:
    """Check ranked lists.

    Raises:
        ProtocolError: Wrong shapes or types, labels below -1, padding before the end, counts below 0, cutoffs below 1.
    """
    if ranked.ndim != 2 or ranked.dtype.kind not in "iu":
        raise ProtocolError(f"ranked labels must be whole numbers [n, L]; got {ranked.dtype} of shape {ranked.shape}")
    if ranked.size and ranked.min() < PADDING:
        raise ProtocolError(f"labels must be at least 0, or -1 where padded; got {ranked.min()}")
    padded = ranked == PADDING
    if (padded[:, :-1] & ~padded[:, 1:]).any():
        raise ProtocolError("padding (-1) must stand at the end of a ranked list; a label follows it")
    if missed is None:
        missed = np.zeros(len(ranked), np.int64)
    if missed.shape != ranked.shape[:1] or missed.dtype.kind not in "iu":
        raise ProtocolError(f"missed needs a whole number a list, {len(ranked)}; got {missed.dtype} {missed.shape}")
    if missed.size and missed.min() < 0:
        raise ProtocolError(f"missed counts relevant items, from 0 on; got {missed.min()}")
    if not len(cutoffs) or min(cutoffs) < 1:
        raise ProtocolError(f"cutoffs need at least one k, each from 1 on; got {list(cutoffs)}")
    return Judged(
        ranked.astype(np.int64, copy=False), missed.astype(np.int64, copy=False), np.asarray(cutoffs, np.int64)
    )


def fitted(array: IntArray, width: int) -> IntArray:
    """Return the first `width` columns, padding where there are fewer."""
    short = max(0, width - array.shape[1])
    return np.pad(array[:, :width], ((0, 0), (0, short)), constant_values=PADDING)


def gains(labels: IntArray, gain: Gain) -> DoubleArray:
    """Return the gain of each label, 0 where padded, float64 in the shape of `labels`.

    Raises:
        ProtocolError: A label too large for ``exp2``.
    """
    grades = np.maximum(labels, 0).astype(np.float64)
    if gain == "linear":
        return grades
    if gain == "binary":
        return np.minimum(grades, 1.0)
    if grades.max(initial=0) > MAX_EXPONENT:
        raise ProtocolError(f"gain exp2 takes labels up to {MAX_EXPONENT}; got {labels.max()}. Choose gain linear")
    return np.asarray(np.exp2(grades) - 1, np.float64)


def ranks(width: int) -> DoubleArray:
    """Return 1, 2, ..., float64 ``[width]``."""
    return np.arange(1, width + 1, dtype=np.float64)


def ratio(numerator: DoubleArray, denominator: DoubleArray | IntArray) -> DoubleArray:
    """Return the quotient, 0 where the denominator is."""
    below = np.broadcast_to(denominator, numerator.shape)
    return np.divide(numerator, below, out=np.zeros(numerator.shape), where=below > 0)
