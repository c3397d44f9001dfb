"""SLMRec: a softmax over the batch on fused views of behaviour and content, which supervise each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench.losses import info_nce, softmax_contrast
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Pairs
from mmrec_bench.models.blocks import Distinct, FeatureProjection, FeatureProjections, feature_tables, gather
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.models.last_batch import ScoreFrom, ranking_vectors
from mmrec_bench.models.nodes import linear
from mmrec_bench.retrieval.base import Representations


class SLMRecConfig(ModelConfig):
    """Settings of `SLMRec`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"score_from": "last-batch"}

    name: Literal["slmrec"] = "slmrec"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 3
    """Propagations on the user-item graph, the same of every view."""
    temperature: PositiveFloat = 0.2
    """Temperature of the softmax over the items of the batch."""
    ssl_weight: NonNegativeFloat = 0.01
    """Weight alpha of the supervision of views by one another."""
    ssl_temperature: PositiveFloat = 0.2
    """Temperature of that supervision, whose products are not scaled to unit length."""
    score_from: ScoreFrom = "fresh"
    """What users and items are ranked by; released code keeps vectors of the last training batch."""


@MODELS.add(
    "slmrec",
    task="retrieval",
    config=SLMRecConfig,
    paper=Citation(
        title="Self-supervised Learning for Multimedia Recommendation",
        authors="Tao et al.",
        venue="TMM 2022",
        url="https://doi.org/10.1109/TMM.2022.3187556",
    ),
    deviations=(
        "The task of the released MMRec code, which aligns fine and coarse views; feature dropout and masking are left "
        "out, as there, and so is a head for audio that it never uses.",
        "Any number of modalities: others stand between images and text in the order of alignment.",
        "Ranked by inner products; the released code ranks by their sigmoid, in which great ones are equal.",
    ),
    uses_features=True,
)
class SLMRec(CollaborativeModel):
    """Scores ``y_ui = v_u . v_i`` with ``v_u = F_u [z_u ; z_um] + f_u`` and items likewise with their own F.

    - Views: z is the mean of propagations of the tables of users and items, z_m that of users and of projected content
      ``W_m x_m + b_m`` of items, x_m the features at unit length.
    - Alignment of items from fine to coarse: ``a_1 = G_1 z`` against ``H_1 z_image``, ``a_2 = G_2 a_1`` against other
      modalities, ``a_3 = G_3 a_2`` against ``H_3 z_text``, G and H linear. The spaces are of size d, that of text of
      d / 2. Without another modality G_2 remains.

    With CE the cross entropy of the rows of a batch against each other, the own one being right, and i positives::

        loss = CE(cos(v_u, v_i) / temperature) + ssl_weight * sum_m CE(a_i . H z_im / ssl_temperature)

    No negatives are drawn. The only regulariser of the paper is the optimiser's weight decay (1e-4 in the released
    code). An item without a modality has a learned missing vector as its projection.
    Source: Tao et al., TMM 2022, https://doi.org/10.1109/TMM.2022.3187556.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]`` and all weights Xavier-uniform, biases torch's default; F
    ``[d, (M + 1) d]``; raw features constant.
    """

    batch_kind = Pairs

    def __init__(self, config: SLMRecConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        dim, tables = config.embedding_dim, feature_tables("slmrec", context)
        self.projections = FeatureProjections(tables, dim, normalise=True, initialiser="xavier_uniform")
        self.fuse_users = linear((len(tables) + 1) * dim, dim, "xavier_uniform")
        self.fuse_items = linear((len(tables) + 1) * dim, dim, "xavier_uniform")
        self.alignment = FineToCoarse(self.projections.modalities, dim) if config.ssl_weight else None
        self.ranked_by = ranking_vectors(config.score_from, context.train.n_users, context.train.n_items, dim)

    def loss(self, batch: Pairs) -> LossTerms:
        """Return ``softmax``, and ``ssl-M`` of each modality M."""
        user_views, item_views = self._propagate()
        self.ranked_by.keep(lambda: (self.fuse_users(user_views), self.fuse_items(item_views)))
        of_users, of_items = Distinct.of(batch.users), Distinct.of(batch.items)
        views = gather(item_views, of_items.ids)
        users = of_users.expand(self.fuse_users(gather(user_views, of_users.ids)))
        terms = {"softmax": info_nce(users, of_items.expand(self.fuse_items(views)), self.config.temperature)}
        if self.alignment is not None:
            for modality, (anchors, targets) in self.alignment(views).items():
                scaled = anchors / self.config.ssl_temperature
                contrast = softmax_contrast(scaled, targets, of_items.counts)
                terms[f"ssl-{modality}"] = self.config.ssl_weight * contrast
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the fused views of all users and items."""
        return self.ranked_by.or_fresh(self._fresh)

    def _fresh(self) -> Representations:
        users, items = self._propagate()
        return Representations(self.fuse_users(users), self.fuse_items(items))

    def _propagate(self) -> tuple[Tensor, Tensor]:
        """Return the views of users and of items side by side, behaviour first, ``[n, (M + 1) d]``.

        Propagation works column by column: all views at once are one wide product.
        """
        projections = cast(Iterable[FeatureProjection], self.projections)
        items = torch.cat([self.items.all(), *(projection.all() for projection in projections)], dim=1)
        users = self.users.all().repeat(1, len(self.projections) + 1)
        return self.graph.propagate(users, items, self.config.n_layers)


class FineToCoarse(nn.Module):
    """A chain of linear maps that starts at behaviour and meets one modality after another, images first, text last.

    Args:
        modalities: Names of the modalities, in the order of their views.
        dim: Size d of the views.
    """

    def __init__(self, modalities: Sequence[str], dim: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        others = [name for name in modalities if name not in ("image", "text")]
        met: list[str | None] = ["image", *others, "text"] if others else ["image", None, "text"]
        while met[-1] not in self.modalities:  # nothing is behind the last that there is
            met.pop()
        self.met = tuple(name if name in self.modalities else None for name in met)
        sizes = [dim // 2 or 1 if name == "text" else dim for name in met]
        self.maps = nn.ModuleList(
            linear(before, size, "xavier_uniform") for before, size in zip([dim, *sizes], sizes, strict=False)
        )
        self.heads = nn.ModuleList(
            linear(dim, size, "xavier_uniform") for name, size in zip(self.met, sizes, strict=True) if name is not None
        )

    def forward(self, views: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what is aligned in each modality, ``[n, s]`` and ``[n, s]``, from views ``[n, (M + 1) d]``."""
        chain, *contents = views.chunk(len(self.modalities) + 1, dim=1)
        by_modality, heads, aligned = dict(zip(self.modalities, contents, strict=True)), iter(self.heads), {}
        for name, step in zip(self.met, self.maps, strict=True):
            chain = step(chain)
            if name is not None:
                aligned[name] = (chain, next(heads)(by_modality[name]))
        return aligned
