"""AlignRec: content aligned with behaviour, and users with items, on one fused vector an item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable, joined
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import batch_l2, bpr, cosine_alignment, dot, gram_vs_cosine, info_nce
from mmrec_bench.models.alignment import AlignableConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    Distinct,
    FeatureProjection,
    feature_tables,
    gather,
    item_graph,
    smoothed,
)
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.retrieval.base import Representations


class AlignRecConfig(AlignableConfig):
    """Settings of `AlignRec`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_divisor": "configured", "reg_target": "live"}

    name: Literal["alignrec"] = "alignrec"
    content: str = "concatenate"
    """Where the fused vector of an item comes from: the name of one feature table (such as that of aligned features,
    named under ``inputs.features``), or ``concatenate``, which joins all tables, each scaled to rows of unit length."""
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph; 0 leaves the graph out."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in the graph, itself included."""
    gate: Literal["content", "none"] = "content"
    """``content``: identities pass the sigmoid gate that content opens. ``none``: the projected content itself."""
    cca_weight: NonNegativeFloat = 0.01
    """Weight of CCA, the contrast between content and identity; 0 leaves it out."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    uia_weight: NonNegativeFloat = 0.1
    """Weight of UIA, the cosine alignment of users and their items; 0 leaves it out."""
    similarity_weight: NonNegativeFloat = 0.1
    """Weight of REG, which keeps the similarities of the fused vectors; 0 leaves it out."""
    reg_target: Literal["frozen", "live"] = "frozen"
    """Similarities of the fused vectors as given, or, as released, of the vectors as fine-tuned so far."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the final vectors in the batch."""
    reg_divisor: Literal["actual", "configured"] = "actual"
    """The regulariser is divided by the size of this batch, or by the configured one, as released; only a short last
    batch tells them apart."""
    train_features: bool = True
    """Whether the fused vectors are fine-tuned, as released; false is a deviation, and faster."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The table that `content` names, if it names one."""
        return () if self.content == "concatenate" else (self.content,)


@MODELS.add(
    "alignrec",
    task="retrieval",
    config=AlignRecConfig,
    paper=Citation(
        title="AlignRec: Aligning and Training in Multimodal Recommendations",
        authors="Liu et al.",
        venue="CIKM 2024",
        url="https://arxiv.org/abs/2403.12384",
    ),
    deviations=(
        "The fused vectors are those of the data set, or of our own reconstruction of the alignment within contents; "
        "the paper's come from a BEiT-3 that was never released.",
        "Negative cosines of neighbours are cut to zero, so that no weight is undefined.",
    ),
    uses_features=True,
)
class AlignRec(CollaborativeModel):
    """Scores ``y_ui = h_u . h_i`` with ``h = h_id + h_mm``: the second stage of AlignRec, after the released code.

    - Identity: ``h_id`` is the mean of propagations of the tables of users and items.
    - Content of items: ``h_mm = S^n (e_i * sigmoid(G p_i + c))`` with ``p_i = W x_i + b`` and S the cosine graph of k
      nearest neighbours of the fused vectors x; of users: ``R h_mm``, R the normalised user-item block.

    With i the positives, H the rows of h_mm and C the cosines of the fused vectors of a batch of B::

        loss = bpr(h) + reg_weight * reg(h)
             + cca_weight * [nce(h_mm_i, h_id_i) + nce(h_mm_u, h_id_u)]      content to identity
             + uia_weight * [1 - mean cos(h_u, h_i)]
             + similarity_weight * ||H H^T - C||_F / B                       no gradient to C

    An item without a fused vector has no edge in S, so its h_mm is zero; so are its row and column of C.
    Source: Liu et al., CIKM 2024, https://arxiv.org/abs/2403.12384, and its released code, which settles the weights.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; fused vectors ``[n_items, D]``, trainable
    by default; all linear maps torch's default.

    Raises:
        ModelError: There are no features, or none of the name in ``content``.
    """

    target: Tensor

    def __init__(self, config: AlignRecConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        self.batch_size = context.batch_size
        dim, table = config.embedding_dim, fused_table(config.content, context)
        graphed = config.n_item_layers > 0
        self.projection = FeatureProjection(table, dim, trainable=config.train_features, replace_missing=not graphed)
        self.gate = nn.Linear(dim, dim) if config.gate == "content" else None
        self.item_graph = SparseOperator(item_graph(table, config.n_neighbors, "cosine")) if graphed else None
        if config.similarity_weight and config.reg_target == "frozen":
            self.register_buffer("target", torch.from_numpy(table.filled()), persistent=False)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``reg``, ``cca-items``, ``cca-users``, ``uia``, ``similarity`` and plugged-in alignments."""
        user_ids, item_table, content = self._propagate()
        rows = Distinct.of(batch.users)
        of_users = TwoLines(rows, gather(user_ids, rows.ids), self.graph.rows(rows.ids, content))
        rows = Distinct.of(batch.positives)
        of_items = TwoLines(rows, gather(item_table, rows.ids), gather(content, rows.ids))
        users, positives = of_users.vectors(), of_items.vectors()
        negatives = gather(item_table + content, batch.negatives)
        config = self.config
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if config.reg_weight:
            divisor = None if config.reg_divisor == "actual" else self.batch_size
            terms["reg"] = config.reg_weight * batch_l2(users, positives, negatives, divisor=divisor)
        if weight := config.cca_weight:
            for name, part in (("items", of_items), ("users", of_users)):
                contrast = info_nce(part.modal, part.behaviour, config.temperature, part.rows.counts)
                terms[f"cca-{name}"] = weight * contrast
        if config.uia_weight:
            terms["uia"] = config.uia_weight * cosine_alignment(users, positives)
        if config.similarity_weight:
            fused = self.target if config.reg_target == "frozen" else self.projection.raw.detach()
            gap = gram_vs_cosine(of_items.modal, gather(fused, rows.ids), rows.counts)
            terms["similarity"] = config.similarity_weight * gap
        if bma := config.alignment.bma:
            terms |= behaviour_modal_alignment(bma, of_users, of_items)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return identity plus content of all users and items."""
        users, items, content = self._propagate()
        return Representations(users + self.graph(content), items + content)

    def _propagate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return identities of users and of items, and content of items."""
        ids = self.items.all()
        if self.gate is None:
            content = self.projection.all()
        else:
            content = ids * torch.sigmoid(self.projection.through(self.gate))
        if self.item_graph is not None:
            content = smoothed(content, self.item_graph, self.config.n_item_layers)
        return (*self.graph.propagate(self.users.all(), ids, self.config.n_layers), content)


def fused_table(content: str, context: ModelContext) -> FeatureTable:
    """Return the table of fused vectors: one of the data set's, or all of them joined.

    Raises:
        ModelError: There are no features, or none of this name.
    """
    if content == "concatenate":
        return joined(feature_tables("alignrec", context))
    context.require("alignrec (content)", (content,))
    return context.features[content]
