"""Behaviour-modal alignment (BMA) of DREAM as a loss that any model with two lines of vectors can take in.

A model takes it in by basing its config on `AlignableConfig` and adding `behaviour_modal_alignment` of its users and
positive items to its terms. One without a line of either kind, or whose content has no vectors of its own, cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from mmrec_bench.graph.bipartite import BipartiteGraph
from mmrec_bench.losses import cosine_alignment, info_nce
from mmrec_bench.models.base import LossTerms, ModelConfig
from mmrec_bench.models.blocks import Distinct, FeatureProjections, gather
from mmrec_bench.settings import BaseConfig


class BMAConfig(BaseConfig):
    """Settings of `behaviour_modal_alignment`; the paper's weights are not public."""

    intra_weight: NonNegativeFloat = 0.1
    """Weight of the alignment of users with their items, inside each line; 0 leaves it out."""
    inter_weight: NonNegativeFloat = 0.01
    """Weight of the alignment of the two lines, of users and of items; 0 leaves it out."""
    inter: Literal["infonce", "cosine"] = "infonce"
    """Across the lines: in-batch contrast, or one minus the mean cosine. The paper's form is not public; a survey lists
    it as contrastive, hence the default."""
    direction: Literal["behaviour-to-modal", "modal-to-behaviour"] = "behaviour-to-modal"
    """Which line the anchors of the contrast come from; the other gives targets and negatives. Read by ``infonce``."""
    temperature: PositiveFloat = 0.2
    """Temperature of the contrast. Read by ``infonce``."""


class AlignmentConfig(BaseConfig):
    """Alignments that are added to a model's own loss."""

    bma: BMAConfig | None = None
    """Behaviour-modal alignment of DREAM (https://arxiv.org/abs/2404.11119)."""


class AlignableConfig(ModelConfig):
    """Base of the configs of models that expose behaviour and modal vectors."""

    alignment: AlignmentConfig = AlignmentConfig()
    """Alignments between users and items, and between behaviour and content, added to the loss; none by default."""


@dataclass(frozen=True, slots=True)
class TwoLines:
    """Users, or items, of a batch: one vector from behaviour and one from content for each.

    Attributes:
        rows: Which rows of the batch the vectors stand for.
        behaviour: What interactions say, float32 ``[n, d]``, a row for each of ``rows.ids``.
        modal: What content says, likewise.
    """

    rows: Distinct
    behaviour: Tensor
    modal: Tensor

    def vectors(self) -> Tensor:
        """Return behaviour plus content of the batch, ``[B, d]``."""
        return self.rows.expand(self.behaviour + self.modal)


def behaviour_modal_alignment(config: BMAConfig, users: TwoLines, items: TwoLines) -> LossTerms:
    """Return the weighted terms of BMA (DREAM, https://arxiv.org/abs/2404.11119) over observed pairs.

    With B the behaviour line, M the modal one, and ``nce`` from anchors to targets, all in-batch::

        bma-intra-behaviour = intra_weight * (1 - mean cos(u_B, i_B))     bma-inter-users = inter_weight * nce(u_B, u_M)
        bma-intra-modal     = intra_weight * (1 - mean cos(u_M, i_M))     bma-inter-items = inter_weight * nce(i_B, i_M)

    That there is an intra- and an inter-alignment is the paper's; the formulas are a reconstruction. Gradients reach
    both lines. Terms of weight zero are left out.

    Args:
        config: Weights and forms.
        users: Users of the batch.
        items: Their positive items, pair by pair.
    """
    terms: LossTerms = {}
    if weight := config.intra_weight:
        for line in ("behaviour", "modal"):
            pairs = (part.rows.expand(getattr(part, line)) for part in (users, items))
            terms[f"bma-intra-{line}"] = weight * cosine_alignment(*pairs)
    if weight := config.inter_weight:
        for name, part in (("users", users), ("items", items)):
            terms[f"bma-inter-{name}"] = weight * _inter(config, part)
    return terms


def _inter(config: BMAConfig, part: TwoLines) -> Tensor:
    if config.inter == "cosine":
        return cosine_alignment(part.rows.expand(part.behaviour), part.rows.expand(part.modal))
    lines = (part.behaviour, part.modal)
    anchors, targets = lines if config.direction == "behaviour-to-modal" else lines[::-1]
    return info_nce(anchors, targets, config.temperature, part.rows.counts)


def projected_lines(
    users: Tensor,
    items: Tensor,
    user_ids: Tensor,
    item_ids: Tensor,
    projections: FeatureProjections,
    graph: BipartiteGraph,
) -> tuple[TwoLines, TwoLines]:
    """Return users and items of a batch for models whose content is projected features and nothing more.

    The modal vector of an item is the sum of its projections over modalities (cosines know no scale, so it is their
    mean, too), that of a user ``R h``, the normalised sum over the items seen in training.

    Args:
        users: Behaviour of all users, float32 ``[n_users, d]``.
        items: Behaviour of all items, float32 ``[n_items, d]``.
        user_ids: int64 ``[B]``.
        item_ids: int64 ``[B]``.
        projections: Content of the items, to length d.
        graph: R.
    """
    of_users, of_items = Distinct.of(user_ids), Distinct.of(item_ids)
    first, *others = (projection.all() for _, projection in projections.by_modality())
    content = sum(others, first)
    return (
        TwoLines(of_users, gather(users, of_users.ids), graph.rows(of_users.ids, content)),
        TwoLines(of_items, gather(items, of_items.ids), gather(content, of_items.ids)),
    )
