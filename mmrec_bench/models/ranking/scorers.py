"""The scorer that rankers share: a perceptron over the fields of each row, which sees no other row."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmrec_bench.models.ranking.base import GradientRanker, ListInputs, RankingContext, ScoringRanker
from mmrec_bench.models.ranking.fields import FieldsConfig, RowFields
from mmrec_bench.row_share import RowDropout


class ScorerConfig(FieldsConfig):
    """Which fields are read, and the sizes of what scores them."""

    hidden_dims: tuple[PositiveInt, ...] = (128, 64)
    """Sizes of the hidden layers; without any, scores are linear in the fields."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout behind every hidden layer."""


class ClickScorerConfig(ScorerConfig):
    """A scorer that learns from clicks and takes their biases out."""

    learns_from: Literal["clicks"] = "clicks"
    """It takes the biases out of ``clicks``."""


class RowScorer(nn.Module):
    """Scores a row by its own fields: ``w . h_K + b``, each layer ``h_k = ELU(LayerNorm(W_k h_{k-1} + b_k))``.

    Layers as in the default ranker of ULTRA (https://arxiv.org/abs/2108.05073); h_0 are all fields, side by side.

    Args:
        config: Fields and sizes.
        context: Training lists and feature tables.
    """

    def __init__(self, config: ScorerConfig, context: RankingContext) -> None:
        super().__init__()
        self.fields = RowFields(config, context)
        sizes = (self.fields.n_fields * config.embedding_dim, *config.hidden_dims)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ELU(), RowDropout(config.dropout)]
        self.mlp = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``."""
        scores: Tensor = self.mlp(self.fields(inputs).flatten(-2)).squeeze(-1)
        return scores


class Head(nn.Module):
    """A logit of a vector: ``w . ReLU(W v + b) + c``.

    Args:
        dim: Length of the vector.
        hidden_dim: Size of the hidden layer.
    """

    def __init__(self, dim: int, hidden_dim: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits ``[...]`` of vectors ``[..., dim]``."""
        logits: Tensor = self.layers(vectors).squeeze(-1)
        return logits


class RowRanker(GradientRanker, ScoringRanker):
    """Base of the rankers that differ in what they learn from, and all serve the scores of a `RowScorer`."""

    config: ScorerConfig

    def __init__(self, config: ScorerConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config
        self.scorer = RowScorer(config, context)

    @property
    def item_representation(self) -> nn.Module | None:
        """The table of items, where there is one."""
        return self.scorer.fields.item_ids

    @torch.no_grad()
    def score(self, inputs: ListInputs) -> Tensor:
        """Score every row."""
        scores: Tensor = self.scorer(inputs)
        return scores
