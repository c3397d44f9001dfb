"""The bootstrap over users: metrics of probabilities when users are drawn again with replacement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, IntArray

BLOCK_CELLS = 1 << 22
"""Draws times impressions held at once."""


def user_draws(n_users: int, n_draws: int, seed: int) -> IntArray:
    """Return how often each user is drawn, int64 ``[n_draws, n_users]``."""
    rng = Seeds(seed).numpy("bootstrap")
    shares = np.full(n_users, 1 / n_users)
    return rng.multinomial(n_users, shares, size=n_draws).astype(np.int64)


def auc_draws(users: IntArray, labels: NDArray[np.int8], scores: DoubleArray, draws: IntArray) -> DoubleArray:
    """Return the AUC of each draw, float64 ``[n_draws]``; NaN where a draw has one class alone.

    Args:
        users: User of each impression as a place in 0..n_users-1, int64 ``[N]``.
        labels: int8 ``[N]`` of 0 and 1.
        scores: float64 ``[N]``.
        draws: How often each user is drawn, int64 ``[n_draws, n_users]``.
    """
    order = np.argsort(scores, kind="stable")
    users, positive, scores = users[order], labels[order] > 0, scores[order]
    begins = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]]) if len(scores) else np.zeros(0, np.int64)
    found = np.empty(len(draws))
    block = max(1, BLOCK_CELLS // max(len(users), 1))
    for start in range(0, len(draws), block):
        weights = draws[start : start + block][:, users].astype(np.float64)
        ones = np.add.reduceat(weights * positive, begins, axis=1)
        zeros = np.add.reduceat(weights * ~positive, begins, axis=1)
        below = np.cumsum(zeros, axis=1) - zeros
        pairs = ones.sum(axis=1) * zeros.sum(axis=1)
        ordered = (ones * (below + zeros / 2)).sum(axis=1)
        found[start : start + block] = np.where(pairs > 0, ordered / np.maximum(pairs, 1), np.nan)
    return found
