"""PRM: self-attention among the rows of a list, and a vector for each place of the initial order."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ranking.base import ListInputs, RankingContext
from mmrec_bench.models.ranking.rerankers import Reranker, RerankerConfig
from mmrec_bench.models.ranking.row_attention import Block
from mmrec_bench.settings import explained_error


class PRMConfig(RerankerConfig):
    """Settings of `PRM`."""

    name: Literal["prm"] = "prm"
    n_layers: PositiveInt = 2
    """Blocks of attention."""
    n_heads: PositiveInt = 2
    """Heads of each; a divisor of ``hidden_dim``."""

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.hidden_dim % self.n_heads:
            raise explained_error(f"hidden_dim ({self.hidden_dim}) must be a multiple of n_heads ({self.n_heads})")
        return self


@MODELS.add(
    "prm",
    task="ranking",
    config=PRMConfig,
    paper=Citation(
        title="Personalized Re-ranking for Recommendation",
        authors="Pei et al.",
        venue="RecSys 2019",
        url="https://arxiv.org/abs/1904.06813",
    ),
    deviations=("Users are described by fields of rows (user_ids: true), not by vectors of a model trained before.",),
    uses_features=True,
)
class PRM(Reranker):
    """``score_d = w . z_d``, z the rows ``x_d + p_r`` after blocks of attention among all rows of the list.

    p_r is a learned vector of the place r at which a row is shown. Without the initial order it is left out, and scores
    follow the rows however they are delivered, as in SetRank (Pang et al., SIGIR 2020,
    https://arxiv.org/abs/1912.05891).
    Source: Pei et al., RecSys 2019, https://arxiv.org/abs/1904.06813.

    Shapes: rows ``[B, L, H]``; scores ``[B, L]``.
    """

    config: PRMConfig

    def __init__(self, config: PRMConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        hidden = config.hidden_dim
        longest = int(context.train.lengths().max(initial=1))
        self.places = nn.Embedding(longest, hidden) if config.initial_order else None
        if self.places is not None:
            nn.init.normal_(self.places.weight, std=0.1)
        self.blocks = nn.ModuleList(Block(hidden, config.n_heads, config.dropout) for _ in range(config.n_layers))
        self.readout = nn.Linear(hidden, 1, bias=False)

    def scores(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``."""
        rows = self.rows(inputs)
        if self.places is not None:
            places = torch.arange(rows.shape[1], device=rows.device)
            rows = rows + self.places(places.clamp(max=self.places.num_embeddings - 1))
        rows = self.dropout(rows)
        for block in self.blocks:
            rows = block(rows, inputs.mask)
        scores: Tensor = self.readout(rows).squeeze(-1)
        return scores
