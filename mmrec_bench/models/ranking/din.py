"""DIN: the history of a user, each item weighed by what it has to do with the candidate."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ranking.base import ListInputs, RankingContext
from mmrec_bench.models.ranking.objective import Loss, ObjectiveConfig, ObjectiveRanker
from mmrec_bench.row_share import RowDropout


class DINConfig(ObjectiveConfig):
    """Settings of `DIN`."""

    name: Literal["din"] = "din"
    embedding_dim: PositiveInt = 32
    """Size d of every field."""
    loss: Loss = "pointwise"
    """See `ObjectiveConfig`."""
    history_length: PositiveInt = 20
    """How many of the latest items of a history are read."""
    attention_dim: PositiveInt = 36
    """Hidden size of what weighs an item of the history."""
    hidden_dims: tuple[PositiveInt, ...] = (80, 40)
    """Sizes of the hidden layers behind."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout behind every one of them."""


@MODELS.add(
    "din",
    task="ranking",
    config=DINConfig,
    paper=Citation(
        title="Deep Interest Network for Click-Through Rate Prediction",
        authors="Zhou et al.",
        venue="KDD 2018",
        url="https://arxiv.org/abs/1706.06978",
    ),
    deviations=(
        "PReLU stands for Dice, whose statistics of a batch would let lists of one batch change each other's scores.",
        "Candidate and history items meet in their product, value by value, not in an outer product.",
    ),
    uses_features=True,
)
class DIN(ObjectiveRanker):
    """``score_d = MLP([fields of d ; sum_t a(e_t, e_d) e_t])``, e the item fields of history and candidate.

    ``a = MLP([e_t ; e_d ; e_t * e_d])`` is not normalised, so that its sum keeps how strong an interest is.
    An empty history sums to 0.
    Source: Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978.

    Shapes: e ``[B, T, n d]`` and ``[B, L, n d]`` for n item fields; scores ``[B, L]``.

    Raises:
        ModelError: There are no histories, or nothing is known of their items.
    """

    config: DINConfig

    def __init__(self, config: DINConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        if context.train.histories is None:
            raise ModelError("din reads histories, and the lists have none. Use mlp, which needs none")
        if not self.fields.reads_items:
            raise ModelError(
                "din: the lists have histories, and nothing is known of their items. Set model.item_ids: true, or give "
                "features to items"
            )
        self.history_length = config.history_length
        self._first = int(self.fields.values is not None)
        self._n_of_items = self.fields.n_fields - self._first - int(config.user_ids)
        dim = self._n_of_items * config.embedding_dim
        self.of_products = nn.Linear(dim, config.attention_dim)
        self.of_history = nn.Linear(dim, config.attention_dim, bias=False)
        self.of_candidates = nn.Linear(dim, config.attention_dim, bias=False)
        self.weigh = nn.Sequential(nn.PReLU(), nn.Linear(config.attention_dim, 1))
        sizes, layers = (self.fields.n_fields * config.embedding_dim + dim, *config.hidden_dims), list[nn.Module]()
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.PReLU(), RowDropout(config.dropout)]
        self.mlp = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``."""
        fields = self.fields(inputs)
        candidates = fields[..., self._first : self._first + self._n_of_items, :].flatten(-2)
        read = torch.cat((fields.flatten(-2), self.interests(candidates, inputs.histories)), dim=-1)
        scores: Tensor = self.mlp(read).squeeze(-1)
        return scores

    def interests(self, candidates: Tensor, histories: Tensor | None) -> Tensor:
        """Return the weighed sum of history items for each candidate, ``[B, L, n d]``."""
        if histories is None or not histories.shape[1]:
            return torch.zeros_like(candidates)
        items = torch.cat(self.fields.of_items(histories.clamp(min=0)), dim=-1)
        one, other = items.unsqueeze(1), candidates.unsqueeze(2)
        hidden = self.of_products(one * other) + self.of_history(one) + self.of_candidates(other)
        weights = self.weigh(hidden).squeeze(-1).masked_fill((histories < 0).unsqueeze(1), 0.0)
        found: Tensor = weights @ items
        return found
