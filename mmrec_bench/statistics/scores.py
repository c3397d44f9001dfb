"""What all comparisons are made of: the scores of two groups of runs on the same users."""

from __future__ import annotations

import numpy as np

from mmrec_bench.errors import DataError
from mmrec_bench.types import DoubleArray

ROUNDING = 1e-12
"""Share of a score that counts as rounding."""


def check(first: DoubleArray, second: DoubleArray) -> None:
    """Check that two groups can be compared.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``, the same users in the same order.

    Raises:
        DataError: Other shapes, no scores at all, or scores that are not finite.
    """
    shapes = first.shape, second.shape
    if first.ndim != 2 or second.ndim != 2 or shapes[0][1] != shapes[1][1] or 0 in (*shapes[0], *shapes[1]):
        raise DataError(
            f"scores need the shapes [n_seeds, n_users] and [m_seeds, n_users]; got {shapes[0]}, {shapes[1]}"
        )
    for name, group in (("first", first), ("second", second)):
        if not np.isfinite(group).all():
            bad = int((~np.isfinite(group)).sum())
            raise DataError(f"{bad} of {group.size} scores of the {name} group are not finite; leave these users out")


def user_differences(first: DoubleArray, second: DoubleArray) -> DoubleArray:
    """Return first minus second of each user, averaged over seeds, float64 ``[n_users]``; see `check`.

    What is less than rounding is no difference: means of equal scores in another order are neither better nor worse.
    """
    check(first, second)
    differences = first.mean(axis=0) - second.mean(axis=0)
    size = np.maximum(np.abs(first).max(axis=0), np.abs(second).max(axis=0))
    return np.where(np.abs(differences) <= ROUNDING * size, 0.0, differences)
