"""What retrieval models are made of: ID tables, feature projections, and the host of an item representation."""

from __future__ import annotations

import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.graph.neighbours import Weighting, knn_graph
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.base import GradientRecommender, ModelContext
from mmrec_bench.types import BoolArray

Initialiser: TypeAlias = Literal["xavier_uniform", "xavier_normal"]


def gather(table: Tensor, ids: Tensor) -> Tensor:
    """Return rows ``[B, d]`` of a table ``[n, d]``; unlike that of ``table[ids]``, the backward pass is repeatable."""
    return F.embedding(ids, table)


_SHORTEST = 1e-12
"""Length of the shortest rows that are scaled to unit length; shorter ones are divided by it."""


def norms(rows: Tensor) -> Tensor:
    """Return the lengths of rows ``[..., d]`` as divisors ``[..., 1]``, at least 1e-12; of rows of zeros infinity.

    What these divide is zero and passes no gradient back, where `F.normalize` passes a trillion times what comes.
    """
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return lengths.clamp_min(_SHORTEST).masked_fill(lengths == 0, torch.inf)


def directions(rows: Tensor) -> Tensor:
    """Scale rows ``[..., d]`` to unit length; rows of zeros stay, and pass no gradient back."""
    return cast(Tensor, _Directions.apply(rows))  # type: ignore[no-untyped-call]


class _Directions(torch.autograd.Function):
    """``y = x / ||x||``: a gradient g pulls x by ``(g - (g . y) y) / ||x||``.

    That is half the passes over the rows that the graph of its parts takes.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        lengths = norms(rows)
        units = rows / lengths
        ctx.save_for_backward(units, lengths)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        units, lengths = ctx.saved_tensors
        along = (gradient * units).sum(dim=-1, keepdim=True)
        along.masked_fill_(lengths <= _SHORTEST, 0.0)  # what divides these does not follow their length
        return torch.addcmul(gradient, units, along, value=-1.0).div_(lengths)


@dataclass(frozen=True, slots=True)
class Distinct:
    """The rows of a batch without repeats, so that work on rows is done once for each.

    Attributes:
        ids: Distinct ids, int64 ``[n]``.
        places: Where each row of the batch stands in ``ids``, int64 ``[B]``.
        counts: How often each id stands in the batch, int64 ``[n]``.
    """

    ids: Tensor
    places: Tensor
    counts: Tensor

    @classmethod
    def of(cls, ids: Tensor) -> Distinct:
        """Part ids ``[B]``; on accelerators every row stays, since shapes that hang on data make them wait."""
        if ids.device.type == "cpu":
            return cls(*torch.unique(ids, return_inverse=True, return_counts=True))
        return cls.every(ids)

    @classmethod
    def every(cls, ids: Tensor) -> Distinct:
        """Keep ids ``[B]`` as they are, for work that is not the same on repeats, such as dropout."""
        return cls(ids, torch.arange(len(ids), device=ids.device), torch.ones_like(ids))

    def expand(self, rows: Tensor) -> Tensor:
        """Return the rows of the batch, ``[B, d]``, from those of the distinct ids, ``[n, d]``."""
        return gather(rows, self.places)


def initialise(weight: Tensor, initialiser: Initialiser) -> None:
    """Fill a weight in place; for a table ``[n, d]`` the two fans are d and n."""
    (nn.init.xavier_uniform_ if initialiser == "xavier_uniform" else nn.init.xavier_normal_)(weight)


class ItemRepresentation(nn.Module, ABC):
    """Where a model reads the vectors that stand for item identities."""

    @abstractmethod
    def all(self) -> Tensor:
        """Return the vectors of all items, float32 ``[n_items, d]``; a model calls it at most once a step."""

    @abstractmethod
    def rows(self, ids: Tensor) -> Tensor:
        """Return the vectors of some items, float32 ``[B, d]``, for int64 ``[B]``."""


class IdEmbedding(ItemRepresentation):
    """A free vector for each user or item.

    Args:
        n: Number of rows.
        dim: Length d of each.
        initialiser: Law of the start values.
        trainable: Whether vectors are parameters, or stay where they start; they are part of the state either way.
    """

    weight: Tensor

    def __init__(self, n: int, dim: int, initialiser: Initialiser, *, trainable: bool = True) -> None:
        super().__init__()
        start = torch.empty(n, dim)
        initialise(start, initialiser)
        if trainable:
            self.weight = nn.Parameter(start)
        else:
            self.register_buffer("weight", start)

    def all(self) -> Tensor:
        """Return the whole table, float32 ``[n, d]``."""
        return self.weight

    def rows(self, ids: Tensor) -> Tensor:
        """Return some rows, float32 ``[B, d]``."""
        return gather(self.weight, ids)


class ItemHost(GradientRecommender):
    """A model that reads item identities only through `items`, so that another representation can take its place.

    Attributes:
        users: Table of users.
        items: Representation of items; regularisers act on its rows.
    """

    users: IdEmbedding
    items: ItemRepresentation

    @property
    def item_representation(self) -> ItemRepresentation:
        """The table of items, or what has taken its place."""
        return self.items


def feature_tables(model: str, context: ModelContext) -> tuple[FeatureTable, ...]:
    """Return all feature tables of a data set, by modality.

    Raises:
        ModelError: There is none, or no item has a modality.
    """
    if not context.features:
        raise ModelError(
            f"{model} needs features of at least one modality, such as image or text; this data set has none"
        )
    tables = tuple(table for _, table in sorted(context.features.items()))
    for table in tables:
        if not any(table.values[row].any() for row in np.flatnonzero(table.present)):  # ends at the first, as a rule
            raise ModelError(
                f"{model}: no item has the modality '{table.modality}' ({table.source}): all {table.n_items} rows are "
                "absent or zero. Remove it from dataset.modalities, or give features to some items"
            )
    return tables


def item_graph(table: FeatureTable, n_neighbors: int, weighting: Weighting) -> sp.csr_matrix:
    """Return `knn_graph` of a feature table, float32 CSR ``[n_items, n_items]``.

    Raises:
        ModelError: Too few items have the modality for k neighbours; names it.
    """
    try:
        return knn_graph(table.values, table.present, n_neighbors, weighting)
    except ModelError as error:
        raise ModelError(f"modality '{table.modality}': {error}") from None


def mixed_item_graph(tables: Sequence[FeatureTable], n_neighbors: int, image_weight: float) -> sp.csr_matrix:
    """Return the weighted sum of the uniform neighbour graphs of some modalities, float32 CSR ``[n_items, n_items]``.

    Args:
        tables: Features, one or more modalities.
        n_neighbors: Neighbours k in each.
        image_weight: Weight of ``image``; the others share the rest equally. Without images, or with nothing else,
            all modalities weigh the same.

    Raises:
        ModelError: Too few items have features for k neighbours.
    """
    n_others = sum(table.modality != "image" for table in tables)
    mixed = n_others == len(tables) - 1 and n_others > 0

    def weighted(table: FeatureTable) -> sp.csr_matrix:
        share = image_weight if table.modality == "image" else (1.0 - image_weight) / max(n_others, 1)
        return item_graph(table, n_neighbors, "uniform") * np.float32(share if mixed else 1.0 / len(tables))

    return functools.reduce(operator.add, map(weighted, tables))


def smoothed(x: Tensor, graph: Callable[[Tensor], Tensor], n_layers: int) -> Tensor:
    """Return ``S^n x``, float32 ``[n, d]``, for a graph that gives ``S x``."""
    for _ in range(n_layers):
        x = graph(x)
    return x


def add_smoothed(base: Tensor, x: Tensor, graph: SparseOperator, n_layers: int) -> Tensor:
    """Return ``base + S^n x``, float32 ``[n, d]``; the last product and the sum are one pass."""
    if n_layers == 0:
        return base + x
    return cast(Tensor, graph(smoothed(x, graph, n_layers - 1), base=base))


class MissingVector(nn.Module):
    """One learned vector in place of all rows that are absent.

    Args:
        present: bool ``[n_items]``.
        start: Start value, float32 ``[d]``.
    """

    absent: Tensor

    def __init__(self, present: BoolArray, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.detach().clone())
        self.register_buffer("absent", torch.from_numpy(~present).unsqueeze(1), persistent=False)

    def forward(self, rows: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return ``rows [B, d]`` with those of absent items replaced; ``ids`` None means all items in order."""
        absent = self.absent if ids is None else self.absent.index_select(0, ids)
        return torch.where(absent, self.weight, rows)


class FeatureProjection(nn.Module):
    """One modality, projected: ``W f + b``, and one learned vector for all items without the modality.

    The learned vector exists only where something is missing. It starts at b, which is what a row of zeros would give.

    Args:
        table: The features.
        dim: Length d of the projections.
        trainable: Whether the raw vectors are parameters that start at the features, or constants.
        bias: Whether there is b.
        normalise: Whether raw vectors are first scaled to unit length.
        initialiser: Law of W; None is that of `torch.nn.Linear`.
        replace_missing: Whether absent items get the learned vector; false where nothing reads their projections.
    """

    raw: Tensor

    def __init__(
        self,
        table: FeatureTable,
        dim: int,
        *,
        trainable: bool = False,
        bias: bool = True,
        normalise: bool = False,
        initialiser: Initialiser | None = None,
        replace_missing: bool = True,
    ) -> None:
        super().__init__()
        values = torch.from_numpy(table.unit() if normalise else table.filled(0.0))
        if trainable:
            self.raw = nn.Parameter(values)
        else:
            self.register_buffer("raw", values, persistent=False)
        self.linear = nn.Linear(table.dim, dim, bias=bias)
        if initialiser is not None:
            initialise(self.linear.weight, initialiser)
        self.missing: MissingVector | None = None
        if table.n_missing and replace_missing:
            self.missing = MissingVector(table.present, self.linear.bias if bias else torch.zeros(dim))

    def all(self) -> Tensor:
        """Return the projections of all items, float32 ``[n_items, d]``."""
        rows: Tensor = self.linear(self.raw)
        return rows if self.missing is None else self.missing(rows)

    def through(self, layer: nn.Linear) -> Tensor:
        """Return ``layer(projections)`` of all items, float32 ``[n_items, d']``: both linear maps as one product."""
        bias = layer.bias if self.linear.bias is None else layer(self.linear.bias)
        rows = F.linear(self.raw, layer.weight @ self.linear.weight, bias)
        return rows if self.missing is None else torch.where(self.missing.absent, layer(self.missing.weight), rows)

    def rows(self, ids: Tensor) -> Tensor:
        """Return the projections of some items, float32 ``[B, d]``, for int64 ``[B]``.

        Raw vectors are gathered before they are projected, unless the batch has more rows than the table.
        """
        if len(ids) >= len(self.raw):
            return gather(self.all(), ids)
        rows: Tensor = self.linear(gather(self.raw, ids))
        return rows if self.missing is None else self.missing(rows, ids)


class FeatureProjections(nn.ModuleList):
    """A `FeatureProjection` of each modality, in the order of the tables.

    Modalities are no names of submodules, since torch refuses many names for these, such as ``type`` or ``clip.v2``.

    Args:
        tables: The features, one table a modality.
        dim: Length d of the projections.
        trainable: See `FeatureProjection`.
        bias: See `FeatureProjection`.
        normalise: See `FeatureProjection`.
        initialiser: See `FeatureProjection`.
        replace_missing: See `FeatureProjection`.
    """

    def __init__(
        self,
        tables: Sequence[FeatureTable],
        dim: int,
        *,
        trainable: bool = False,
        bias: bool = True,
        normalise: bool = False,
        initialiser: Initialiser | None = None,
        replace_missing: bool = True,
    ) -> None:
        super().__init__(
            FeatureProjection(
                table,
                dim,
                trainable=trainable,
                bias=bias,
                normalise=normalise,
                initialiser=initialiser,
                replace_missing=replace_missing,
            )
            for table in tables
        )
        self.modalities = tuple(table.modality for table in tables)

    def by_modality(self) -> list[tuple[str, FeatureProjection]]:
        """Return modalities and their projections, in the order of the tables."""
        return cast(list[tuple[str, FeatureProjection]], list(zip(self.modalities, self, strict=True)))

    def rows(self, ids: Tensor) -> dict[str, Tensor]:
        """Return projections of some items by modality, float32 ``[B, d]`` each, for int64 ``[B]``."""
        distinct = Distinct.of(ids)
        return {modality: distinct.expand(projection.rows(distinct.ids)) for modality, projection in self.by_modality()}
