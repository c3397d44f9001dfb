"""The user browsing model: a row is examined by its rank and the distance to the last click above it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat

from mmrec_bench.clicks.base import PopularityBiasedModel, Walk, click_model
from mmrec_bench.types import BoolArray, DoubleArray

BROWSING = (
    (1.0,),
    (0.98, 1.0),
    (1.0, 0.62, 0.95),
    (1.0, 0.77, 0.42, 0.82),
    (1.0, 0.92, 0.55, 0.31, 0.69),
    (1.0, 0.96, 0.63, 0.4, 0.22, 0.54),
    (1.0, 0.99, 0.73, 0.46, 0.29, 0.17, 0.47),
    (1.0, 1.0, 0.89, 0.52, 0.35, 0.24, 0.14, 0.43),
    (1.0, 1.0, 0.95, 0.68, 0.4, 0.29, 0.19, 0.12, 0.41),
    (1.0, 1.0, 1.0, 0.96, 0.52, 0.36, 0.27, 0.18, 0.12, 0.43),
)
"""Examination by rank (row) and distance 1, 2, ... to the last click; the last entry of a row is of no click so far.

As in ULTRA (https://arxiv.org/abs/2108.05073)."""

NO_CLICK = 0
"""State of a session without a click; state d from 1 on is a last click d ranks above."""

FARTHEST = len(BROWSING) - 1
"""The largest distance the table knows; it stands for all larger ones."""


@click_model("ubm")
class UserBrowsingModel(PopularityBiasedModel):
    """User browsing model (Dupret and Piwowarski 2008, https://doi.org/10.1145/1390334.1390392).

    Rank r whose last click is d ranks above is examined with probability ``theta[r][d]^severity``. Ranks beyond 10
    repeat the row of rank 10; there a click more than 9 ranks above counts as one 9 ranks above.
    """

    name: Literal["ubm"] = "ubm"
    severity: NonNegativeFloat = 1.0
    """Exponent eta of theta; 0 is no position bias."""

    def theta(self, n_ranks: int) -> DoubleArray:
        """Return the examination by rank and state, float64 ``[n_ranks, 10]``; 0 at states that no session reaches."""
        theta = np.zeros((n_ranks, FARTHEST + 1))
        for rank in range(n_ranks):
            *distances, no_click = BROWSING[min(rank, FARTHEST)]
            theta[rank, NO_CLICK] = no_click
            theta[rank, 1 : len(distances) + 1] = distances
            theta[rank, : len(distances) + 1] **= self.severity
        return theta

    def examination(self, walk: Walk) -> DoubleArray:
        """Return the marginal over the last click, by dynamic programming over its distance."""
        theta = self.theta(walk.bias.shape[1])
        result = np.empty_like(walk.bias)
        at = np.zeros((len(walk.bias), FARTHEST + 1))  # probability of each state
        at[:, NO_CLICK] = 1.0
        for rank in range(theta.shape[0]):
            examined = at * theta[rank] * walk.bias[:, rank, None]
            result[:, rank] = np.minimum(examined.sum(axis=1), 1.0)  # a sum of shares may round to above 1
            clicked = examined * walk.attraction[:, rank, None]
            rest = at - clicked
            at[:, NO_CLICK] = rest[:, NO_CLICK]
            at[:, 1] = clicked.sum(axis=1)
            at[:, 2:] = rest[:, 1:-1]
            at[:, FARTHEST] += rest[:, FARTHEST]
        return result

    def session(self, walk: Walk, draws: DoubleArray) -> tuple[BoolArray, BoolArray, DoubleArray]:
        """Walk down the ranks and remember the last click."""
        theta = self.theta(walk.bias.shape[1])
        clicks, observed = np.empty(walk.bias.shape, np.bool_), np.empty(walk.bias.shape, np.bool_)
        examination = np.empty_like(walk.bias)
        state = np.full(len(walk.bias), NO_CLICK)
        for rank in range(theta.shape[0]):
            examination[:, rank] = theta[rank, state] * walk.bias[:, rank]
            observed[:, rank] = draws[:, rank, 0] < examination[:, rank]
            clicks[:, rank] = observed[:, rank] & (draws[:, rank, 1] < walk.attraction[:, rank])
            farther = np.where(state == NO_CLICK, NO_CLICK, np.minimum(state + 1, FARTHEST))
            state = np.where(clicks[:, rank], 1, farther)
        return clicks, observed, examination
