"""STARank: a set of candidates is arranged for a history, without scoring and sorting."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.errors import ModelError
from mmrec_bench.list_losses import draws
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.arranger import Arranger, PositionKind, Read
from mmrec_bench.models.ranking.base import Arrangement, GradientRanker, ListBatch, ListInputs, RankingContext
from mmrec_bench.models.ranking.fields import FieldsConfig, RowFields
from mmrec_bench.models.ranking.readers import AttentionReader, HistoryReader, ReaderKind, TransformerReader
from mmrec_bench.plackett_luce import (
    Ties,
    Weights,
    falling_order,
    graded_order,
    gumbel_top_k,
    negative_log_likelihood,
    prefix,
    step_log_likelihood,
)
from mmrec_bench.row_share import RowDropout


class STARankConfig(FieldsConfig):
    """Settings of `STARank`."""

    name: Literal["starank"] = "starank"
    embedding_dim: PositiveInt = 48
    """Size d of every field; those of a row, or of an item of the history, are summed."""
    hidden_dim: PositiveInt = 64
    """Size H of all states, of the history reader, the candidate reader and the arranger."""
    history_length: NonNegativeInt = 10
    """How many of the latest items of a history are read; with 0, or where lists have none, a learned vector stands for
    all histories."""
    reader: ReaderKind = "attention"
    """How candidates are read: each with an ``attention`` summary of all, or by a ``transformer`` among them."""
    n_layers: PositiveInt = 1
    """Blocks of the ``transformer``, which alone reads it."""
    n_heads: PositiveInt = 2
    """Heads of the ``transformer``, which alone reads it; a divisor of ``hidden_dim``."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of the vectors of candidates and of the history, and within the ``transformer``."""
    position: PositionKind = "decoder"
    """What the arranger knows at a rank: a ``decoder`` has read what was placed; an ``embedding`` knows the rank alone;
    with ``none`` scores are the same for all ranks, and the model is Plackett-Luce in the strict sense."""
    ties: Ties = "random"
    """What rows of equal grade teach: a ``random`` order among them, fresh each epoch; or, ``marginal``, that any of
    the best left comes next."""
    stop: Literal["relevant", "end"] = "relevant"
    """Up to where an order is taught: through the ``relevant`` rows (clicked, or of a positive label), since those
    behind are all alike; or to the ``end``."""
    max_steps: PositiveInt | None = None
    """Ranks taught at most; null = all. The cost of a step of training grows with it."""
    weights: Weights = "uniform"
    """Weight of each rank in the loss: 1, or ``dcg``: 1 / log2(rank + 1)."""
    per_step: bool = False
    """Whether the loss of a list is divided by the weights of the ranks taught; without it, long targets weigh more."""
    decoding: Literal["greedy", "beam", "sample"] = "greedy"
    """How a list is served: the best row at each rank, the best of ``beam_width`` beginnings, or a draw from the
    model."""
    beam_width: PositiveInt = 4
    """Beginnings kept by ``beam``, which alone reads it."""


@MODELS.add(
    "starank",
    task="ranking",
    config=STARankConfig,
    paper=Citation(
        title="Replace Scoring with Arrangement: A Contextual Set-to-Arrangement Framework for Learning-to-Rank",
        authors="Jin et al.",
        venue="CIKM 2023",
        url="https://arxiv.org/abs/2308.02860",
    ),
    deviations=(
        "A reconstruction from public descriptions of the method; the full text was not at hand.",
        "Targets are followed in training (teacher forcing); equal grades come in a fresh random order.",
        "Any fields describe candidates and history, not ids alone; no history is made up where there is none.",
    ),
    uses_features=True,
)
class STARank(GradientRanker):
    """Arranges candidates rank by rank: ``P(pi) = prod_i softmax over what is left of s^i``.

    An LSTM reads [user ; history] into u; candidates are read with u into h, whatever order they stand in; the arranger
    scores ``s_d^i = v . tanh(W1 h_d + W2 p_i + W3 u + b)``, where p_i knows what was placed (`Arranger`). Loss: the
    negative log-likelihood of the order that labels, clicks or a shown order ask for (`plackett_luce`). With
    ``position: none`` it is ListMLE. Otherwise the model is a multistage choice model: Luce's axiom holds at each rank,
    and not across ranks, so that the likelihood of an order of a subset cannot be read off.
    Source: Jin et al., CIKM 2023, https://arxiv.org/abs/2308.02860.

    Shapes: lists ``[B, L]``; u ``[B, H]``; h ``[B, L, H]``; s ``[B, K, L]``.
    """

    config: STARankConfig

    def __init__(self, config: STARankConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config
        dim, hidden = config.embedding_dim, config.hidden_dim
        if config.reader == "transformer" and hidden % config.n_heads:
            raise ModelError(
                f"starank: model.hidden_dim ({hidden}) must be a multiple of model.n_heads ({config.n_heads})"
            )
        self.fields = RowFields(config, context)
        reads_history = config.history_length > 0 and context.train.histories is not None
        if reads_history and not self.fields.reads_items:
            raise ModelError(
                "starank: the lists have histories, and nothing is known of their items. Set model.item_ids: true, "
                "give features to items, or do without histories by model.history_length: 0"
            )
        self.history_length = config.history_length if reads_history else 0
        self.dropout = RowDropout(config.dropout)
        self.history = HistoryReader(dim, hidden, reads_history or config.user_ids)
        self.reader = (
            AttentionReader(dim, hidden)
            if config.reader == "attention"
            else TransformerReader(dim, hidden, config.n_layers, config.n_heads, config.dropout)
        )
        self.arranger = Arranger(hidden, config.position, int(context.train.lengths().max(initial=1)))
        self._seeds = context.seeds

    @property
    def item_representation(self) -> torch.nn.Module | None:
        """The table of items, where there is one."""
        return self.fields.item_ids

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``plackett_luce``, the negative log-likelihood of the target order."""
        config, mask, grades = self.config, batch.inputs.mask, batch.targets
        n_steps = (mask if config.stop == "end" else mask & (grades > 0)).sum(dim=1)
        if config.max_steps is not None:
            n_steps = n_steps.clamp(max=config.max_steps)
        target = prefix(graded_order(grades, mask, draws(mask)), n_steps)
        scores = self.arranger(self.read(batch.inputs), target)
        groups = grades if config.ties == "marginal" else None
        loss = negative_log_likelihood(scores, target, mask, groups, weights=config.weights, per_step=config.per_step)
        return {"plackett_luce": loss}

    @torch.no_grad()
    def arrange(self, inputs: ListInputs) -> Arrangement:
        """Put lists in order; the score of a row is the number of places from it to the end."""
        # In canonical order, the result hangs in no bit on how candidates were delivered.
        canonical = inputs.canonical()
        order, _ = self.decode(inputs.permuted(canonical))
        order = canonical.gather(1, order.clamp(min=0)).masked_fill(order < 0, -1)
        lengths = inputs.mask.sum(dim=1, keepdim=True)
        scores = (lengths - torch.arange(order.shape[1], device=order.device)).float()
        return Arrangement(order, scores.masked_fill(order < 0, -torch.inf))

    def decode(self, inputs: ListInputs) -> tuple[Tensor, Tensor]:
        """Return an order of the rows, int64 ``[B, L]`` with -1 where padded, and its log-probability, ``[B]``."""
        read, length = self.read(inputs), inputs.mask.shape[1]
        sample = self.config.decoding == "sample"
        # The same noise at each call: what is drawn for a batch does not hang on how often was asked.
        generator = self._seeds.generator("decoding", device=inputs.mask.device) if sample else None
        if self.config.position != "none":
            width = self.config.beam_width if self.config.decoding == "beam" else 1
            return self.arranger.search(read, width, sample, generator)
        # The most likely order of Plackett-Luce is that of its scores.
        scores = self.arranger(read, torch.zeros_like(inputs.items[:, :1])).squeeze(1)
        order = gumbel_top_k(scores, inputs.mask, length, generator) if sample else falling_order(scores, inputs.mask)
        return order, step_log_likelihood(scores.unsqueeze(1), order, inputs.mask).sum(dim=1)

    def read(self, inputs: ListInputs) -> Read:
        """Read histories and candidates."""
        fields, lengths = self.fields(inputs), torch.zeros_like(inputs.users)
        vectors = fields.new_zeros(len(fields), 0, fields.shape[-1])
        if self.history_length and inputs.histories is not None:
            lengths = (inputs.histories >= 0).sum(dim=1)
            vectors = torch.stack(self.fields.of_items(inputs.histories.clamp(min=0))).sum(dim=0)
        if self.config.user_ids:  # the user is the last field of each row, and the first thing to be read
            vectors, lengths = torch.cat((fields[:, :1, -1], vectors), dim=1), lengths + 1
            fields = fields[..., :-1, :]
        user, cell = self.history(self.dropout(vectors), lengths)
        rows = self.reader(self.dropout(fields.sum(dim=-2)), user, inputs.mask)
        return Read(rows, user, cell, inputs.mask)
