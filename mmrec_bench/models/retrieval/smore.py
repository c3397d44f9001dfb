"""SMORE: modalities filtered and fused in the frequency domain, beside behaviour."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Literal, cast

import scipy.sparse as sp
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench import row_share
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.models.base import MODELS, Citation, ModelContext
from mmrec_bench.models.blocks import Distinct, FeatureProjection, FeatureProjections, feature_tables, item_graph
from mmrec_bench.models.modal_line import RelationGraphs
from mmrec_bench.models.side_content import SideContentConfig, SideContentModel


class SMOREConfig(SideContentConfig):
    """Settings of `SMORE`."""

    name: Literal["smore"] = "smore"
    n_layers: NonNegativeInt = 3
    """Propagations on the user-item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality but images, itself included."""
    n_image_neighbors: PositiveInt = 10
    """Neighbours of an item in images, itself included."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the preferences of behaviour for content dropped in training, row by row of the batch."""


@MODELS.add(
    "smore",
    task="retrieval",
    config=SMOREConfig,
    paper=Citation(
        title="Spectrum-based Modality Representation Fusion Graph Convolutional Network for Multimodal Recommendation",
        authors="Ong, Khong",
        venue="WSDM 2025",
        url="https://arxiv.org/abs/2412.14978",
    ),
    deviations=(
        "Any number of modalities: the fused spectrum is the product of all spectra, its graph the largest of all "
        "values; with image and text nothing changes.",
        "Dropout is drawn for each row of the batch; the released code draws it once a step for each user and item.",
        "Negative cosines of neighbours are cut to zero, so that no weight is undefined.",
    ),
    uses_features=True,
)
class SMORE(SideContentModel):
    """Scores ``y_ui = z_u . z_i`` with ``z = c + s``, c from behaviour and s from content, as in MGCN.

    - Behaviour: ``c`` is the mean of propagations of the tables of users and items.
    - Spectra: ``X_m = rfft(W_m f_m + b_m)`` over the d coordinates, orthonormal. The view of a modality is
      ``p_m = irfft(X_m w_m)``, the fused one ``p_f = irfft(w_f prod_m X_m)``, w complex filters.
    - Content of items: ``h_x = S_x^n (e_i * gate_x(p_x))`` for each view x. S_m is the cosine graph of k nearest
      neighbours, S_f has at each edge the largest value that it has in a modality. Of users: ``R h_x``, R the
      normalised user-item block.
    - Fusion: s is the mean over the views of ``prefer_m(c) * q_m * h_m`` and ``prefer_f(c) * h_f``, with
      ``q_m = softmax(query_m(h_f))`` over the d coordinates.

    Loss: ``bpr(z) + reg_weight * reg(z) + contrastive_weight * [nce(s_i, c_i) + nce(s_u, c_u)]``, i the positives.
    Gates and preferences are ``sigmoid(Linear)``, queries ``Linear, tanh, Linear without bias``. An item without a
    modality has no edge in its graph, and a learned missing vector as its projection, which the fused view reads.
    Source: Ong and Khong, WSDM 2025, https://arxiv.org/abs/2412.14978.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; raw features ``[n_items, D_m]``, trainable
    by default; filters ``[1, d // 2 + 1, 2]`` normal, real and imaginary parts; all linear maps torch's default.
    """

    config: SMOREConfig

    def __init__(self, config: SMOREConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        tables, dim = feature_tables("smore", context), config.embedding_dim
        # With one modality, an item that lacks it has no edge at all, so that nothing would read a missing vector.
        lost = len(tables) == 1 and config.n_item_layers > 0
        self.projections = FeatureProjections(tables, dim, trainable=config.train_features, replace_missing=not lost)
        self.views = SpectralViews(dim, len(tables))
        self.fusion = PreferenceFusion(dim, len(tables))
        self.item_graphs: RelationGraphs | None = None
        if config.n_item_layers:
            self.item_graphs = RelationGraphs(view_graphs(tables, config), config.n_item_layers)

    def content(self, ids: Tensor) -> Tensor:
        """Return content of all items, modalities and then the fused view side by side, ``[n_items, (M + 1) d]``."""
        projections = cast(Iterable[FeatureProjection], self.projections)
        content = self.views(ids, [projection.all() for projection in projections])
        return cast(Tensor, content if self.item_graphs is None else self.item_graphs(content))

    def fuse(self, behaviour: Tensor, content: Tensor, training: bool) -> Tensor:
        """Return the mean of the views as behaviour prefers them, ``[B, d]``."""
        return cast(Tensor, self.fusion(behaviour, content, self.config.dropout if training else 0.0))

    def distinct(self, ids: Tensor) -> Distinct:
        """Return the rows on which fusion is spent: each once, unless dropout tells repeats apart."""
        return Distinct.every(ids) if self.training and self.config.dropout else super().distinct(ids)


class SpectralViews(nn.Module):
    """Gated views of items: each modality filtered in the frequency domain, and their product.

    Args:
        dim: Size d.
        n_modalities: Number M of modalities.
    """

    def __init__(self, dim: int, n_modalities: int) -> None:
        super().__init__()
        views = range(n_modalities + 1)
        self.filters = nn.ParameterList(torch.randn(1, dim // 2 + 1, 2) for _ in views)
        self.gates = nn.ModuleList(nn.Linear(dim, dim) for _ in views)

    def forward(self, ids: Tensor, projected: Sequence[Tensor]) -> Tensor:
        """Return ``[e * gate_x(p_x)]``, ``[n_items, (M + 1) d]``, for e and M projections ``[n_items, d]``."""
        spectra = [torch.fft.rfft(rows, norm="ortho") for rows in projected]
        spectra.append(functools.reduce(operator.mul, spectra))
        views = []
        for spectrum, weight, gate in zip(spectra, self.filters, self.gates, strict=True):
            filtered = spectrum * torch.view_as_complex(weight)
            signal = torch.fft.irfft(filtered, n=ids.shape[1], norm="ortho")
            views.append(ids * torch.sigmoid(gate(signal)))
        return torch.cat(views, dim=1)


class PreferenceFusion(nn.Module):
    """The mean of the views, weighed by what behaviour prefers and by what the fused view asks for.

    Args:
        dim: Size d.
        n_modalities: Number M of modalities.
    """

    def __init__(self, dim: int, n_modalities: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, dim, bias=False)) for _ in range(n_modalities)
        )
        self.prefer = nn.ModuleList(nn.Linear(dim, dim) for _ in range(n_modalities + 1))

    def forward(self, behaviour: Tensor, content: Tensor, dropout: float) -> Tensor:
        """Return s ``[B, d]`` from behaviour ``[B, d]`` and content ``[B, (M + 1) d]``."""
        *views, fused = content.view(len(content), len(self.prefer), -1).unbind(dim=1)
        weighed = [torch.softmax(query(fused), dim=1) * view for query, view in zip(self.queries, views, strict=True)]
        side = torch.zeros_like(behaviour)
        for prefer, view in zip(self.prefer, [*weighed, fused], strict=True):
            side = side + row_share.dropout(torch.sigmoid(prefer(behaviour)), dropout, training=True) * view
        return side / len(self.prefer)


def view_graphs(tables: Sequence[FeatureTable], config: SMOREConfig) -> list[sp.csr_matrix]:
    """Return the item graph of each modality, then that of the fused view, float32 CSR ``[n_items, n_items]``."""
    graphs = [
        item_graph(table, config.n_image_neighbors if table.modality == "image" else config.n_neighbors, "cosine")
        for table in tables
    ]
    return [*graphs, functools.reduce(lambda one, other: one.maximum(other).tocsr(), graphs)]
