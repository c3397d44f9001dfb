"""What a modal line is made of: gated content, frozen relation graphs, fusion, supervision by raw similarities.

Vectors of several modalities lie side by side, ``[n, M d]``, in the order of the feature tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.graph.neighbours import Weighting, knn_graph
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import gram_vs_cosine
from mmrec_bench.models.blocks import Distinct, FeatureProjection, gather, smoothed

Gate: TypeAlias = Literal["self", "id", "none"]
"""``self``: content passes the gate that it opens. ``id``: item identities pass the gate that content opens, as in MGCN
(arXiv:2308.03588). ``none``: no gate."""


class FilteredContent(nn.Module):
    """Projected content of all items in one modality, behind a filter gate.

    Args:
        table: Raw features.
        dim: Length d of the projections.
        gate: What passes the gate.
        trainable: Whether raw features are parameters, or constants.
        replace_missing: Whether absent items get a learned vector; false where nothing reads their content.
    """

    def __init__(
        self, table: FeatureTable, dim: int, gate: Gate, *, trainable: bool = False, replace_missing: bool = True
    ) -> None:
        super().__init__()
        self.projection = FeatureProjection(table, dim, trainable=trainable, replace_missing=replace_missing)
        self.gate = None if gate == "none" else nn.Linear(dim, dim)
        self.filters_ids = gate == "id"

    def forward(self, ids: Tensor) -> Tensor:
        """Return the content, ``[n_items, d]``, for the table of identities ``[n_items, d]``, read by ``id`` alone."""
        if self.gate is None:
            return self.projection.all()
        if self.filters_ids:
            return ids * torch.sigmoid(self.projection.through(self.gate))
        projected = self.projection.all()
        return projected * torch.sigmoid(self.gate(projected))


class RelationGraphs(nn.Module):
    """Frozen graphs over items, or over users, as one sparse matrix.

    Args:
        graphs: One a modality, or one for all, ``[n, n]`` each.
        n_layers: Propagations, at least one.
    """

    def __init__(self, graphs: Sequence[sp.csr_matrix], n_layers: int) -> None:
        super().__init__()
        self.n_graphs = len(graphs)
        self.operator = SparseOperator(interleaved(graphs))
        self.n_layers = n_layers

    def forward(self, views: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return ``S^n h``, ``[n, M d]``, or some of its rows, ``[B, M d]``."""
        table = smoothed(views.view(len(views) * self.n_graphs, -1), self.operator, self.n_layers - 1)
        if ids is None:
            return cast(Tensor, self.operator(table)).view(views.shape)
        rows = ids.unsqueeze(1) * self.n_graphs + torch.arange(self.n_graphs, device=ids.device)
        return self.operator.rows(rows.flatten(), table).view(len(ids), -1)


def interleaved(graphs: Sequence[sp.csr_matrix]) -> sp.csr_matrix:
    """Return one graph over pairs of row and modality, float32 CSR ``[n M, n M]``, for M graphs ``[n, n]``.

    Pair (i, m) is row ``i M + m``, as it is in memory where the vectors of an item lie side by side: no table is taken
    apart before the product, or put together after it.
    """
    if len(graphs) == 1:
        return graphs[0]
    n, places = graphs[0].shape[0] * len(graphs), [graph.tocoo() for graph in graphs]
    rows, columns = (
        np.concatenate([getattr(graph, axis).astype(np.int64) * len(graphs) + m for m, graph in enumerate(places)])
        for axis in ("row", "col")
    )
    values = np.concatenate([graph.data for graph in places])
    return sp.csr_matrix((values, (rows, columns)), shape=(n, n), dtype=np.float32)


class ModalityFusion(nn.Module):
    """One vector from those of all modalities: their mean, or weighted by a learned softmax.

    Args:
        n_modalities: Number M of modalities; of one there is nothing to learn.
        learned: Whether weights are learned, from equal ones on; the same for all rows.
    """

    def __init__(self, n_modalities: int, learned: bool) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        self.logits = nn.Parameter(torch.zeros(n_modalities)) if learned and n_modalities > 1 else None

    def forward(self, views: Tensor) -> Tensor:
        """Return ``[n, d]`` from ``[n, M d]``."""
        parts = views.view(len(views), self.n_modalities, -1)
        if self.logits is None:
            return parts.mean(dim=1)
        return (torch.softmax(self.logits, dim=0).unsqueeze(1) * parts).sum(dim=1)


class SimilaritySupervision(nn.Module):
    """S3: inner products of modal vectors against cosines of raw features, in each modality.

    The raw features of a user are the mean over its training items. Rows without raw features, or with nothing but
    zeros, are left out.

    Args:
        tables: Raw features of items.
        train: Training interactions where the signal is about users; None where it is about items.
        norm: Whether modal vectors are scaled to unit length first, so that both sides are cosines.
    """

    known: Tensor

    def __init__(self, tables: Sequence[FeatureTable], train: Interactions | None, norm: bool) -> None:
        super().__init__()
        self.modalities = tuple(table.modality for table in tables)
        self.norm = norm
        known = [table.present & table.values.any(axis=1) for table in tables]
        self.means: nn.ModuleList | None = None
        if train is not None:
            means = [item_means(train, table) for table in tables]
            known = [mean @ rows > 0 for mean, rows in zip(means, known, strict=True)]
            self.means = nn.ModuleList(map(SparseOperator, means))
        self.register_buffer("known", torch.from_numpy(np.stack(known)), persistent=False)

    def forward(self, rows: Distinct, views: Tensor, raw: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return ``||H H^T - C||_F / B`` of a batch by modality.

        Args:
            rows: Which users or items.
            views: Their modal vectors, ``[n, M d]``.
            raw: Raw features of all items, ``[n_items, D_m]`` each.
        """
        gaps = {}
        for place, (modality, view) in enumerate(zip(self.modalities, views.chunk(len(raw), dim=1), strict=True)):
            references = self._references(place, raw[place], rows.ids)
            counts = rows.counts * self.known[place].index_select(0, rows.ids)
            gaps[modality] = gram_vs_cosine(F.normalize(view, dim=1) if self.norm else view, references, counts)
        return gaps

    def _references(self, place: int, raw: Tensor, ids: Tensor) -> Tensor:
        return gather(raw, ids) if self.means is None else cast(SparseOperator, self.means[place]).rows(ids, raw)


def item_means(train: Interactions, table: FeatureTable) -> sp.csr_matrix:
    """Return what takes the features of items to their mean over each user's items, float32 CSR ``[n_users, n_items]``.

    Items without features are left out of the mean; a user without any other item has an empty row.

    Args:
        train: Who interacted with what.
        table: Says which items have features.
    """
    present = table.present[train.items]
    users, items = train.users[present], train.items[present]
    shares = (1.0 / np.bincount(users, minlength=train.n_users)[users]).astype(np.float32)
    return sp.csr_matrix((shares, (users, items)), shape=(train.n_users, train.n_items))


def content_neighbours(
    train: Interactions, table: FeatureTable, n_neighbors: int, weighting: Weighting
) -> sp.csr_matrix:
    """Return `knn_graph` by cosine of users' mean raw features, float32 CSR ``[n_users, n_users]``.

    A user whose mean is absent or zero has no edge. Where no more than k users have one, all but one of them are
    neighbours, and where fewer than two have one, there is no edge at all.

    Args:
        train: Training interactions.
        table: Raw features of items.
        n_neighbors: Neighbours k of a user, itself included.
        weighting: Weights of its edges.
    """
    features = item_means(train, table) @ table.filled()
    known = np.asarray(features.any(axis=1))
    k = min(n_neighbors, int(known.sum()) - 1)
    if k < 1:
        nobody = np.zeros(0, np.int64)
        return sp.csr_matrix((nobody.astype(np.float32), (nobody, nobody)), shape=(len(known), len(known)))
    return knn_graph(features, known, k, weighting)
