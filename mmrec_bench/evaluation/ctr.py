"""The evaluator of the CTR task: probabilities of single impressions, against clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from mmrec_bench.data.points import Points
from mmrec_bench.errors import ModelError, ProtocolError
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS, Judged
from mmrec_bench.models.ctr.base import CtrModel, CtrPart
from mmrec_bench.models.ctr.feed import PointFeed
from mmrec_bench.types import BoolArray, DoubleArray, FloatArray, IntArray

BLOCK = 1 << 14
"""Impressions predicted at once."""


@dataclass(frozen=True, slots=True, eq=False)
class CtrEvaluation:
    """Everything measured of one model on one held-out part.

    Attributes:
        probabilities: Of each impression, float32 ``[N]``.
        users: Row numbers of the users, rising, int64 ``[n]``.
        per_user: By metric, a value a user whose mean is the metric, float64 ``[n]``, unrounded; see
            `metrics.probabilities`. Metrics that are undefined on the part are left out.
        means: By metric, its value, unrounded.
    """

    probabilities: FloatArray
    users: IntArray
    per_user: Mapping[str, DoubleArray]
    means: Mapping[str, float]

    def chosen_by(self, metric: str) -> float:
        """Return the metric by which weights are chosen.

        Raises:
            ProtocolError: It is undefined on this part.
        """
        if metric not in self.means:
            defined = ", ".join(self.means) or "none"
            raise ProtocolError(
                f"protocol.select_by is {metric}, which is undefined on the validation part, for want of clicks, of "
                f"impressions without one, or of users who have both. Defined there: {defined}"
            )
        return self.means[metric]


class CtrEvaluator:
    """Evaluates CTR models on one held-out part.

    Args:
        part: Impressions with labels of both classes.
        metrics: Registered names of metrics of probabilities.
        device: Where models live.
    """

    def __init__(self, part: CtrPart, metrics: Sequence[str], device: torch.device) -> None:
        self._part, self._metrics, self._device = part, tuple(metrics), device

    def evaluate(self, model: CtrModel) -> CtrEvaluation:
        """Predict every impression and measure the model.

        Raises:
            ModelError: Probabilities that are no numbers, or lie outside [0, 1].
        """
        return self.judged(predicted(model, self._part, self._device))

    def judged(self, probabilities: FloatArray, rows: BoolArray | None = None) -> CtrEvaluation:
        """Measure probabilities, float32 ``[N]``, of all impressions or of those where the mask is true."""
        return judged_points(self._part.points, probabilities, self._metrics, rows)


def judged_points(
    points: Points, probabilities: FloatArray, metrics: Sequence[str], rows: BoolArray | None = None
) -> CtrEvaluation:
    """Measure probabilities of impressions, whoever has predicted them.

    Args:
        points: The impressions.
        probabilities: float32 ``[N]``.
        metrics: Registered names of metrics of probabilities.
        rows: Which impressions count, bool ``[N]``; all by default.
    """
    if rows is not None:
        points, probabilities = points.select(rows), probabilities[rows]
    users, places = np.unique(points.users, return_inverse=True)
    judged = Judged(places.astype(np.int64), points.labels, probabilities.astype(np.float64))
    found = {name: PROBABILITY_METRICS[name](judged) for name in metrics}
    per_user = {name: values for name, values in found.items() if values is not None}
    means = {name: float(values.mean()) for name, values in per_user.items()}
    return CtrEvaluation(probabilities, users, MappingProxyType(per_user), MappingProxyType(means))


@torch.no_grad()
def predicted(model: CtrModel, part: CtrPart, device: torch.device) -> FloatArray:
    """Return the probability of a click on each impression, float32 ``[N]``.

    Args:
        model: On the device, in evaluation mode.
        part: The impressions; labels are not looked at.
        device: Where the model lives.

    Raises:
        ModelError: Probabilities that are no numbers, or lie outside [0, 1].
    """
    feed = PointFeed(part, device, model.history_length)
    blocks = [model.predict(feed.inputs(rows)) for rows in torch.split(torch.arange(len(feed), device=device), BLOCK)]
    probabilities: FloatArray = torch.cat(blocks).float().cpu().numpy()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ModelError(
            f"{type(model).__name__} gave probabilities that are not in [0, 1]; it has diverged. Lower learning_rate"
        )
    return probabilities
