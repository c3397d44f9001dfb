"""LGMRec: local vectors from behaviour and content, global ones from hyperedges that the modalities learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import RegForm, batch_l2, bpr, dot, softmax_contrast
from mmrec_bench.models.alignment import AlignableConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    Distinct,
    FeatureProjections,
    directions,
    feature_tables,
    gather,
    initialise,
    norms,
)
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.row_share import n_rows


class LGMRecConfig(AlignableConfig):
    """Settings of `LGMRec`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "contrastive_weight": 1e-4,
        "contrastive_reduction": "sum",
        "reg_form": "frobenius",
        "eval_noise": True,
    }

    name: Literal["lgmrec"] = "lgmrec"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations of the tables of users and items."""
    n_modal_layers: NonNegativeInt = 2
    """Propagations of the projected content; the last one counts alone."""
    n_hyperedges: PositiveInt = 4
    """Hyperedges H of each modality."""
    n_hyper_layers: PositiveInt = 1
    """Rounds from items to hyperedges and back."""
    assignment_temperature: PositiveFloat = 0.2
    """Temperature of the softmax that assigns users and items to hyperedges."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Share of the assignments dropped in training; the released code names what it keeps."""
    hypergraph_weight: NonNegativeFloat = 0.3
    """Weight alpha of the global vectors in the final ones."""
    contrastive_weight: NonNegativeFloat = 0.2048
    """Weight of the contrast between the global vectors of two modalities; the default is the released 1e-4 times a
    batch of 2048. With one modality there is nothing to contrast."""
    contrastive_reduction: Literal["mean", "sum"] = "mean"
    """Mean over the rows of the batch, or their sum, as released: then the weight grows with the batch."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    reg_weight: NonNegativeFloat = 1e-6
    """Weight of the size of the final vectors in the batch."""
    reg_form: RegForm = "squared"
    """``squared``: half squares over the batch size. ``frobenius``: unsquared norms over the batch size, as released;
    weights do not carry over."""
    eval_noise: bool = False
    """Whether assignments are noisy in evaluation, too, as released: there every block of users had noise of its own.
    Here it is drawn once and is the same for every export, so that two exports agree."""


@MODELS.add(
    "lgmrec",
    task="retrieval",
    config=LGMRecConfig,
    paper=Citation(
        title="LGMRec: Local and Global Graph Learning for Multimodal Recommendation",
        authors="Guo et al.",
        venue="AAAI 2024",
        url="https://arxiv.org/abs/2312.16400",
    ),
    deviations=(
        "Any number of modalities: the contrast is the mean over pairs of them, in alphabetical order, and is left out "
        "with one; with image and text nothing changes.",
        "With eval_noise one draw serves all exports; the released code draws anew for each block of users.",
    ),
    uses_features=True,
)
class LGMRec(CollaborativeModel):
    """Scores ``y_ui = z_u . z_i`` with ``z = c + sum_m norm(e_m) + alpha norm(sum_m g_m)``.

    - Behaviour: c is the mean of propagations of the tables of users and items.
    - Content: ``e_m = A^n [X_u ; X_i]``, ``X_i = f_m W_m`` and X_u its mean over the items of a user.
    - Hyperedges: ``B_i = softmax((f_m V_m + gumbel) / t)``, and of users likewise from sums over their items; each
      round is ``lat = B_i^T x``, ``x <- B_i lat`` from x = c of the items; ``g_m = [B_u lat ; x]``. Noise and dropout
      of the assignments are for training.

    Loss: ``bpr(z) + reg_weight * reg(z) + contrastive_weight * [nce(g_v, g_t) over all users + ... over all items]``,
    the positives of users and of positive items being themselves in the other modality. An item without a modality has
    a learned missing vector in place of its ``f_m [W_m, V_m]``.
    Source: Guo et al., AAAI 2024, https://arxiv.org/abs/2312.16400.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]``, and of each modality W_m ``[d, D_m]`` above V_m
    ``[H, D_m]`` in one matrix without bias, all Xavier-uniform, each with its own fans; raw features constant.
    """

    degrees: Tensor

    def __init__(self, config: LGMRecConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        train, dim, tables = context.train, config.embedding_dim, feature_tables("lgmrec", context)
        # One matrix for W and V: the features, by far the largest operand, are read once.
        self.maps = FeatureProjections(tables, dim + config.n_hyperedges, bias=False)
        for _, projection in self.maps.by_modality():
            initialise(projection.linear.weight[:dim], "xavier_uniform")
            initialise(projection.linear.weight[dim:], "xavier_uniform")
        self.history = SparseOperator(train.matrix())
        degrees = torch.from_numpy(train.user_counts()).clamp(min=1).float().unsqueeze(1)
        self.register_buffer("degrees", degrees, persistent=False)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``contrastive-users``, ``contrastive-items``, ``reg`` and plugged-in alignments."""
        users, items = self._propagate(self.training)
        user_rows, positive_rows = Distinct.of(batch.users), Distinct.of(batch.positives)
        of_users, of_positives = users.rows(user_rows.ids), items.rows(positive_rows.ids)
        vectors = (
            user_rows.expand(self._vectors(of_users)),
            positive_rows.expand(self._vectors(of_positives)),
            self._vectors(items.rows(batch.negatives)),
        )
        terms = {"bpr": bpr(dot(vectors[0], vectors[1]), dot(vectors[0], vectors[2]))}
        if (weight := self.config.contrastive_weight) and len(self.maps) > 1:
            terms["contrastive-users"] = weight * self._contrast(users, user_rows)
            terms["contrastive-items"] = weight * self._contrast(items, positive_rows)
        if self.config.reg_weight:
            size = batch_l2(*vectors, form=self.config.reg_form)
            terms["reg"] = self.config.reg_weight * size
        if bma := self.config.alignment.bma:
            pairs = ((user_rows, of_users), (positive_rows, of_positives))
            lines = (TwoLines(rows, parts.behaviour, self._content(parts)) for rows, parts in pairs)
            terms |= behaviour_modal_alignment(bma, *lines)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the final vectors of all users and items."""
        users, items = self._propagate(training=False)
        return Representations(self._vectors(users), self._vectors(items))

    def _propagate(self, training: bool) -> tuple[_Parts, _Parts]:
        """Return the parts of the vectors of all users and all items."""
        config, n = self.config, len(self.maps)
        mapped = [projection.all() for _, projection in self.maps.by_modality()]
        content = torch.cat([rows[:, : config.embedding_dim] for rows in mapped], dim=1)
        edges = torch.cat([rows[:, config.embedding_dim :] for rows in mapped], dim=1)
        sums = self.history(torch.cat((content, edges), dim=1))
        user_content, user_edges = sums.split((content.shape[1], edges.shape[1]), dim=1)
        users, items = self.graph.propagate(self.users.all(), self.items.all(), config.n_layers)
        user_content, content = self.graph.propagate(
            user_content / self.degrees, content, config.n_modal_layers, pooling="last"
        )
        of_users = [self._assigned(logits, training, 2 * m) for m, logits in enumerate(user_edges.chunk(n, dim=1))]
        of_items = [self._assigned(logits, training, 2 * m + 1) for m, logits in enumerate(edges.chunk(n, dim=1))]
        hyperedges = [self._hyperedges(assigned, items) for assigned in of_items]
        return _Parts(users, user_content, of_users, hyperedges), _Parts(items, content, of_items, hyperedges)

    def _hyperedges(self, assigned: Tensor, items: Tensor) -> Tensor:
        """Return the vectors of the hyperedges of one modality, ``[H, d]``, from items ``[n_items, d]``."""
        latent = assigned.T @ items
        for _ in range(self.config.n_hyper_layers - 1):
            latent = assigned.T @ (assigned @ latent)
        return latent

    def _assigned(self, logits: Tensor, training: bool, stream: int) -> Tensor:
        """Return soft assignments ``[n, H]`` to hyperedges."""
        temperature = self.config.assignment_temperature
        if training:
            return F.dropout(F.gumbel_softmax(logits, temperature, dim=1), self.config.dropout)
        if self.config.eval_noise:
            generator = torch.Generator().manual_seed(stream)
            logits = logits - torch.empty(logits.shape).exponential_(generator=generator).log().to(logits.device)
        return torch.softmax(logits / temperature, dim=1)

    def _vectors(self, parts: _Parts) -> Tensor:
        """Return the final vectors, ``[n, d]``."""
        hyper = torch.stack([assigned @ latent for assigned, latent in parts.hypergraphs()]).sum(dim=0)
        return parts.behaviour + self._content(parts) + self.config.hypergraph_weight * directions(hyper)

    def _content(self, parts: _Parts) -> Tensor:
        """Return what the modalities add to the final vectors, ``[n, d]``."""
        return directions(parts.content.view(len(parts.content), len(self.maps), -1)).sum(dim=1)

    def _contrast(self, parts: _Parts, rows: Distinct) -> Tensor:
        """Return the contrast of rows of a batch with all rows, over the pairs of modalities.

        Global vectors ``B lat`` have as many free coordinates as there are hyperedges. Their inner products
        ``(B_v lat_v) . (B_t lat_t) = (B_v (lat_v lat_t^T)) . B_t`` are taken there: H is far smaller than d.
        """
        scaled = [(assigned / norms(assigned @ latent), latent) for assigned, latent in parts.hypergraphs()]
        temperature = self.config.temperature
        losses = [
            softmax_contrast(
                gather(anchors, rows.ids) @ (left @ right.T) / temperature,
                targets,
                rows.counts,
                rows.ids,
                bound=1.0 / temperature,
            )
            for (anchors, left), (targets, right) in combinations(scaled, 2)
        ]
        mean = torch.stack(losses).mean()
        return mean * n_rows(rows.places) if self.config.contrastive_reduction == "sum" else mean


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the vectors of users or of items are made of.

    Attributes:
        behaviour: c, ``[n, d]``.
        content: e of all modalities side by side, ``[n, M d]``.
        assigned: B of each modality, ``[n, H]``.
        hyperedges: lat of each modality, ``[H, d]``; g is their product.
    """

    behaviour: Tensor
    content: Tensor
    assigned: Sequence[Tensor]
    hyperedges: Sequence[Tensor]

    def hypergraphs(self) -> list[tuple[Tensor, Tensor]]:
        """Return B and lat of each modality."""
        return list(zip(self.assigned, self.hyperedges, strict=True))

    def rows(self, ids: Tensor) -> _Parts:
        """Return the parts of some rows."""
        assigned = [gather(table, ids) for table in self.assigned]
        return _Parts(gather(self.behaviour, ids), gather(self.content, ids), assigned, self.hyperedges)
