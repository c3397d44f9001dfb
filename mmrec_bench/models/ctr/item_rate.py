"""How often an item was clicked when it was shown: the baseline that knows no user."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.blocks import gather
from mmrec_bench.models.ctr.base import ClosedFormCtrModel, CtrConfig, CtrContext, PointInputs


class ItemRateConfig(CtrConfig):
    """Settings of `ItemRate`."""

    name: Literal["item-rate"] = "item-rate"
    shrink: NonNegativeFloat = 20.0
    """Impressions at the rate of all items that are added to those of each; 0 = the bare rate."""


@MODELS.add("item-rate", task="ctr", config=ItemRateConfig, paper=None)
class ItemRate(ClosedFormCtrModel):
    """``(clicks_i + m r) / (impressions_i + m)``, r the rate of all impressions and m the shrinkage.

    An item without impressions has the rate r.
    """

    rates: Tensor

    def __init__(self, config: ItemRateConfig, context: CtrContext) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rates", torch.zeros(context.train.points.n_items, 1))

    def fit(self, context: Any) -> None:
        """Count."""
        points = context.train.points
        shown = np.bincount(points.items, minlength=points.n_items)
        clicked = np.bincount(points.items, points.labels, minlength=points.n_items)
        mean, shrink = float(points.labels.mean(dtype=np.float64)), self.config.shrink
        rates = np.where(shown + shrink > 0, (clicked + shrink * mean) / np.maximum(shown + shrink, 1e-12), mean)
        self.rates.copy_(torch.from_numpy(rates).unsqueeze(1))

    def predict(self, inputs: PointInputs) -> Tensor:
        """Return the rate of each item."""
        return gather(self.rates, inputs.items).squeeze(-1)
