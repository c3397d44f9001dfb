"""DIN for impressions: what a user clicked before, each item weighed by what it has to do with the one shown."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ctr.base import CtrContext, PointInputs
from mmrec_bench.models.ctr.fields import Dense, DenseConfig, FieldsModel


class DINCtrConfig(DenseConfig):
    """Settings of `DINCtr`."""

    name: Literal["din-ctr"] = "din-ctr"
    history_length: PositiveInt = 20
    """How many of the latest clicked items are read."""
    attention_dim: PositiveInt = 36
    """Hidden size of what weighs an item of the history."""


@MODELS.add(
    "din-ctr",
    task="ctr",
    config=DINCtrConfig,
    paper=Citation(
        title="Deep Interest Network for Click-Through Rate Prediction",
        authors="Zhou et al.",
        venue="KDD 2018",
        url="https://arxiv.org/abs/1706.06978",
    ),
    deviations=(
        "PReLU weighs the history, where the paper has Dice; ReLU stands in the dense layers behind.",
        "Item and history meet in their product, value by value, not in an outer product.",
    ),
    uses_features=True,
)
class DINCtr(FieldsModel):
    """``log odds = w . MLP([fields ; sum_t a(e_t, e_i) e_t ; extra])``, e the item fields of history and impression.

    ``a = MLP([e_t ; e_i ; e_t * e_i])`` is not normalised, so that its sum keeps how strong an interest is. An empty
    history sums to 0.
    Source: Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978.
    """

    def __init__(self, config: DINCtrConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        self.history_length = config.history_length
        dim = self.fields.n_of_items * config.embedding_dim
        self.weigh = nn.Sequential(
            nn.Linear(3 * dim, config.attention_dim), nn.PReLU(), nn.Linear(config.attention_dim, 1)
        )
        n_inputs = self.fields.n_fields * config.embedding_dim + dim
        self.dense = Dense(n_inputs, config, context.train.extra, self.fields.items)
        self.out = nn.Linear(config.hidden_dims[-1], 1)

    def forward(self, inputs: PointInputs) -> Tensor:
        """Return log odds, float32 ``[B]``."""
        fields = self.fields(inputs)
        read = torch.cat((fields.flatten(1), self.interests(fields[:, 1:].flatten(1), inputs.histories)), dim=1)
        odds: Tensor = self.out(self.dense(read, inputs.extra, self.fields.items.all())).squeeze(-1)
        return odds

    def interests(self, shown: Tensor, histories: Tensor | None) -> Tensor:
        """Return the weighed sum of history items, float32 ``[B, n d]``, for items shown, of the same shape."""
        if histories is None or not histories.shape[1]:
            return torch.zeros_like(shown)
        clicked = torch.cat(self.fields.of_items(histories.clamp(min=0)), dim=-1)
        other = shown.unsqueeze(1).expand_as(clicked)
        weights = self.weigh(torch.cat((clicked, other, clicked * other), dim=-1)).squeeze(-1)
        found: Tensor = (weights.masked_fill(histories < 0, 0.0).unsqueeze(1) @ clicked).squeeze(1)
        return found
