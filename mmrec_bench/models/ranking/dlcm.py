"""DLCM: a recurrent network reads the initial list from its end to its top, and rows are scored against what it saw."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ranking.base import ListInputs, RankingContext
from mmrec_bench.models.ranking.rerankers import Reranker, RerankerConfig


class DLCMConfig(RerankerConfig):
    """Settings of `DLCM`."""

    name: Literal["dlcm"] = "dlcm"
    n_views: PositiveInt = 10
    """Number k of ways in which a row is held against the list."""


@MODELS.add(
    "dlcm",
    task="ranking",
    config=DLCMConfig,
    paper=Citation(
        title="Learning a Deep Listwise Context Model for Ranking Refinement",
        authors="Ai et al.",
        venue="SIGIR 2018",
        url="https://arxiv.org/abs/1804.05936",
    ),
    deviations=(
        "The loss softmax stands for the attention rank loss; targets are gains, not a softmax of labels.",
        "Rows are projections of their fields; the paper adds what two further layers make of them.",
    ),
    uses_features=True,
)
class DLCM(Reranker):
    """``score_d = v . (o_d . tanh(W s + b))``: a GRU reads the list from the last row to the first.

    o_d is its output at row d, s its state at the top; W makes k vectors of length H of it, v weighs the k products.
    Without the initial order rows are read in a random one, fresh at each step of training, and served in the canonical
    one; scores hang on it, although it says nothing.
    Source: Ai et al., SIGIR 2018, https://arxiv.org/abs/1804.05936.

    Shapes: rows and o ``[B, L, H]``; s ``[B, H]``; scores ``[B, L]``.
    """

    config: DLCMConfig

    def __init__(self, config: DLCMConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        hidden, views = config.hidden_dim, config.n_views
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.context = nn.Linear(hidden, views * hidden)
        self.readout = nn.Linear(views, 1, bias=False)

    def scores(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``."""
        lengths = inputs.mask.sum(dim=1)
        places = torch.arange(inputs.mask.shape[1], device=lengths.device)
        # The real rows from the last to the first, then the padding; an order that undoes itself.
        turn = torch.where(inputs.mask, lengths.unsqueeze(1) - 1 - places, places).unsqueeze(2)
        rows = self.dropout(self.rows(inputs))
        rows = rows.gather(1, turn.expand_as(rows))
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        found, state = self.gru(packed)
        outputs, _ = pad_packed_sequence(found, batch_first=True, total_length=rows.shape[1])
        outputs = self.dropout(outputs.gather(1, turn.expand_as(outputs)))
        context = self.context(state[0]).tanh().view(len(rows), self.config.n_views, -1)
        scores: Tensor = self.readout(outputs @ context.transpose(1, 2)).squeeze(-1)
        return scores
