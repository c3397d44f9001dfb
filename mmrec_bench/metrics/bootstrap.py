"""The bootstrap over users: metrics of probabilities when users are drawn again with replacement."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, IntArray

UserDraws: TypeAlias = NDArray[np.int32]

BLOCK_CELLS = 1 << 22
"""Draws, or users, times impressions held at once."""

MOST_USERS = 4096
"""Users up to which all their pairs are counted, which is faster."""


def user_draws(n_users: int, n_draws: int, seed: int) -> UserDraws:
    """Return how often each user is drawn, int32 ``[n_draws, n_users]``."""
    rng = Seeds(seed).numpy("bootstrap")
    shares = np.full(n_users, 1 / n_users)
    found = np.empty((n_draws, n_users), np.int32)
    block = max(1, BLOCK_CELLS // max(n_users, 1))
    for start in range(0, n_draws, block):
        found[start : start + block] = rng.multinomial(n_users, shares, size=len(found[start : start + block]))
    return found


def auc_draws(users: IntArray, labels: NDArray[np.int8], scores: DoubleArray, draws: UserDraws) -> DoubleArray:
    """Return the AUC of each draw, float64 ``[n_draws]``; NaN where a draw has one class alone.

    Args:
        users: User of each impression as a place in 0..n_users-1, int64 ``[N]``.
        labels: int8 ``[N]`` of 0 and 1.
        scores: float64 ``[N]``.
        draws: How often each user is drawn, int32 ``[n_draws, n_users]``.
    """
    if draws.shape[1] <= MOST_USERS:
        return _by_pairs_of_users(users, labels, scores, draws.astype(np.float64))
    return _by_impressions(users, labels, scores, draws)


def _by_pairs_of_users(
    users: IntArray, labels: NDArray[np.int8], scores: DoubleArray, draws: DoubleArray
) -> DoubleArray:  # fmt: skip
    """Count once how often an impression of one user beats one of another, and weigh these pairs in each draw."""
    n_users = draws.shape[1]
    runs = np.unique(scores, return_inverse=True)[1]  # equal scores are one run
    n_runs = int(runs.max(initial=-1)) + 1
    ones, zeros = (
        sp.csr_matrix((np.ones(int(kept.sum())), (users[kept], runs[kept])), shape=(n_users, n_runs))
        for kept in (labels > 0, labels <= 0)
    )
    pairs = np.empty((n_users, n_users))
    block = max(1, BLOCK_CELLS // max(n_runs, 1))
    for start in range(0, n_users, block):
        counts = zeros[start : start + block].toarray()
        below = np.cumsum(counts, axis=1) - counts / 2  # ties count half
        pairs[:, start : start + block] = np.asarray(ones @ below.T)
    total = (draws @ ones.sum(axis=1).A1) * (draws @ zeros.sum(axis=1).A1)
    return np.where(total > 0, ((draws @ pairs) * draws).sum(axis=1) / np.maximum(total, 1), np.nan)


def _by_impressions(
    users: IntArray, labels: NDArray[np.int8], scores: DoubleArray, draws: UserDraws
) -> DoubleArray:  # fmt: skip
    """Weigh every impression in each draw; for many users, whose pairs would fill the memory."""
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
