"""Users and items as the nodes of one table: how they start, what enters a graph, and layers on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.blocks import IdEmbedding, Initialiser, MissingVector, initialise


def joint_tables(
    n_users: int, n_items: int, dim: int, initialiser: Initialiser, *, trainable: bool = True
) -> tuple[IdEmbedding, IdEmbedding]:
    """Return tables of users and of items that start as the parts of one matrix, with the fans of that.

    Args:
        n_users: Number of users.
        n_items: Number of items.
        dim: Length d of a vector.
        initialiser: Law of the matrix ``[n_users + n_items, d]``.
        trainable: See `IdEmbedding`.
    """
    start = torch.empty(n_users + n_items, dim)
    initialise(start, initialiser)
    users, items = (IdEmbedding(n, dim, initialiser, trainable=trainable) for n in (n_users, n_items))
    users.weight.data.copy_(start[:n_users])
    items.weight.data.copy_(start[n_users:])
    return users, items


class RawFeatures(nn.Module):
    """One modality as it is: constant vectors, and one learned vector for all items without the modality.

    The learned vector exists only where something is missing. It starts at the mean of the others.

    Args:
        table: The features.
    """

    raw: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        self.dim = table.dim
        self.register_buffer("raw", torch.from_numpy(table.filled(0.0)), persistent=False)
        self.missing: MissingVector | None = None
        if table.n_missing:
            mean = table.values[np.flatnonzero(table.present)].mean(axis=0)
            self.missing = MissingVector(table.present, torch.from_numpy(mean))

    def all(self) -> Tensor:
        """Return the vectors of all items, float32 ``[n_items, D]``."""
        return self.raw if self.missing is None else self.missing(self.raw)


def side_by_side(operator: SparseOperator, tables: Sequence[Tensor]) -> list[Tensor]:
    """Return ``M x`` of each table, ``[n, d]`` each, from one product of them all, ``[m, d]`` each."""
    widths = [table.shape[1] for table in tables]
    return list(operator(torch.cat(list(tables), dim=1)).split(widths, dim=1))


def linear(n_in: int, n_out: int, initialiser: Initialiser) -> nn.Linear:
    """Return a linear map whose weight follows a law; its bias is torch's default."""
    layer = nn.Linear(n_in, n_out)
    initialise(layer.weight, initialiser)
    return layer
