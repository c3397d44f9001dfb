"""The position-based model: a row is examined by its rank alone (and its popularity, if asked)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat

from mmrec_bench.clicks.base import PopularityBiasedModel, Walk, by_rank, click_model
from mmrec_bench.clicks.user_browsing import BROWSING
from mmrec_bench.types import BoolArray, DoubleArray

EYE_TRACKING = (0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06)
"""Examination by rank in an eye-tracking study, as in ULTRA (https://arxiv.org/abs/2108.05073)."""

BROWSING_DIAGONAL = tuple(row[-1] for row in BROWSING)
"""Examination of the user browsing model before any click, which the code of STARank takes as its position bias."""


@click_model("pbm")
class PositionBasedModel(PopularityBiasedModel):
    """Position-based model (Richardson et al. 2007, https://doi.org/10.1145/1242572.1242643).

    Rank r is examined with probability ``theta_r^severity``, whatever was clicked above. Tables have ten ranks; lower
    ranks repeat the last.
    """

    name: Literal["pbm"] = "pbm"
    table: Literal["eye-tracking", "starank", "power"] = "eye-tracking"
    """theta. ``eye-tracking``: .68 to .06, of ULTRA. ``starank``: 1 to .43, of STARank's code; it does not fall at the
    last rank. ``power``: 1/r at every rank."""
    severity: NonNegativeFloat = 1.0
    """Exponent eta of theta; 0 is no position bias."""

    def theta(self, n_ranks: int) -> DoubleArray:
        """Return the examination by rank, float64 ``[n_ranks]``."""
        if self.table == "power":
            theta: DoubleArray = np.arange(1, n_ranks + 1, dtype=np.float64) ** -self.severity
        else:
            theta = by_rank(EYE_TRACKING if self.table == "eye-tracking" else BROWSING_DIAGONAL, n_ranks)
            theta **= self.severity
        return theta

    def examination(self, walk: Walk) -> DoubleArray:
        """Return ``theta_r * bias``."""
        return self.theta(walk.bias.shape[1]) * walk.bias

    def session(self, walk: Walk, draws: DoubleArray) -> tuple[BoolArray, BoolArray, DoubleArray]:
        """Examine and click each row on its own."""
        examination = self.examination(walk)
        observed = draws[..., 0] < examination
        return observed & (draws[..., 1] < walk.attraction), observed, examination
