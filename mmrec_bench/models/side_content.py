"""What MGCN and its descendants share: vectors ``z = c + s``, c from behaviour and s from content, contrasted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from mmrec_bench.losses import batch_l2, bpr, dot, info_nce
from mmrec_bench.models.alignment import AlignableConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, gather
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.retrieval.base import Representations


class SideContentConfig(AlignableConfig):
    """Settings that these models share."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_divisor": "configured"}

    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph of each view."""
    contrastive_weight: NonNegativeFloat = 0.01
    """Weight of the contrast between content and behaviour."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the final vectors in the batch."""
    reg_divisor: Literal["actual", "configured"] = "actual"
    """The regulariser is divided by the size of this batch, or by the configured one, as released; only a short last
    batch tells them apart."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released; false is a deviation, and faster."""


class SideContentModel(CollaborativeModel):
    """Scores ``y_ui = z_u . z_i`` with ``z = c + s``.

    c is the mean of propagations of the tables of users and items. Content h of items has several views side by side,
    that of users is ``R h``, R the normalised user-item block, and s is fused from c and h, row by row.
    Loss: ``bpr(z) + reg_weight * reg(z) + contrastive_weight * [nce(s_i, c_i) + nce(s_u, c_u)]``, i the positives.

    A model of this kind says what content is, and how it is fused.
    """

    config: SideContentConfig

    def __init__(self, config: SideContentConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        self.batch_size = context.batch_size

    @abstractmethod
    def content(self, ids: Tensor) -> Tensor:
        """Return content of all items, ``[n_items, V d]``, for their table of identities, ``[n_items, d]``."""

    @abstractmethod
    def fuse(self, behaviour: Tensor, content: Tensor, training: bool) -> Tensor:
        """Return s, ``[B, d]``, from behaviour ``[B, d]`` and content ``[B, V d]`` of some users or items."""

    def distinct(self, ids: Tensor) -> Distinct:
        """Return the rows on which fusion is spent: each row of the batch once."""
        return Distinct.of(ids)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``contrastive-users``, ``contrastive-items``, ``reg`` and plugged-in alignments."""
        user_behaviour, item_behaviour, item_content = self._propagate()
        # Fusion works row by row, so it is spent on the rows of the batch alone.
        rows = self.distinct(batch.users)
        fused = [self._fuse(rows, user_behaviour, self.graph.rows(rows.ids, item_content))]
        for ids in (batch.positives, batch.negatives):
            rows = self.distinct(ids)
            fused.append(self._fuse(rows, item_behaviour, gather(item_content, rows.ids)))
        users, positives, negatives = (part.vectors() for part in fused)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if weight := self.config.contrastive_weight:
            for name, part in (("users", fused[0]), ("items", fused[1])):
                contrast = info_nce(part.modal, part.behaviour, self.config.temperature, part.rows.counts)
                terms[f"contrastive-{name}"] = weight * contrast
        if bma := self.config.alignment.bma:
            terms |= behaviour_modal_alignment(bma, *fused[:2])
        if self.config.reg_weight:
            divisor = None if self.config.reg_divisor == "actual" else self.batch_size
            terms["reg"] = self.config.reg_weight * batch_l2(users, positives, negatives, divisor=divisor)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return behaviour plus content of all users and items."""
        users, items, content = self._propagate()
        return Representations(
            users + self.fuse(users, self.graph(content), training=False),
            items + self.fuse(items, content, training=False),
        )

    def _propagate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return behaviour of users and of items, and content of items."""
        ids = self.items.all()
        users, items = self.graph.propagate(self.users.all(), ids, self.config.n_layers)
        return users, items, self.content(ids)

    def _fuse(self, rows: Distinct, behaviour: Tensor, content: Tensor) -> TwoLines:
        own = gather(behaviour, rows.ids)
        return TwoLines(rows, own, self.fuse(own, content, self.training))
