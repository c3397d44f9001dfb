"""What the closed forms share: a guard against use before fitting, neighbour lists as buffers, and their scorers.

Persistence: whatever `fit` computes goes into buffers that have their final shapes from construction on, so loading a
saved ``state_dict`` into a freshly built model restores `export` without fitting. Users' histories are no result of
fitting: they come from the context, at construction.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional as F

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import ClosedFormRecommender, ModelContext
from mmrec_bench.retrieval.base import Scoring

Orientation: TypeAlias = Literal["row", "column"]
"""Whose k nearest neighbours are kept: ``row`` the consumed item's, ``column`` the scored item's."""


class FittedRecommender(ClosedFormRecommender):
    """A closed form that refuses to export before it was fitted or loaded."""

    fitted: Tensor
    """bool scalar; a buffer, so that a loaded model counts as fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @abstractmethod
    def compute(self, context: ModelContext) -> None:
        """Fill the buffers from the context the model was built with."""

    @abstractmethod
    def scoring(self) -> Scoring:
        """Return what retrieval needs, from the filled buffers."""

    def fit(self, context: ModelContext) -> None:
        """Compute everything `export` needs, from the context the model was built with."""
        with torch.no_grad():
            self.compute(context)
            self.fitted.fill_(True)

    def export(self) -> Scoring:
        """Return what retrieval needs.

        Raises:
            ModelError: The model was neither fitted nor loaded.
        """
        if not bool(self.fitted):
            raise ModelError(f"{type(self).__name__} has nothing to export yet; call fit(context) or load its weights")
        return self.scoring()


@dataclass(frozen=True, slots=True, eq=False)
class SparseItemScorer:
    """Scores ``R W`` of a sparse item-item matrix W; one dense row a requested user and no other dense array.

    The sparse product runs on the CPU whatever the device, so scores do not depend on it.

    Attributes:
        history: R, float32 CSR ``[n_users, n_items]``.
        weights: W, float32 CSR ``[n_items, n_items]``; row = consumed item, column = scored item.
        device: Where the scores are put.
    """

    history: sp.csr_matrix
    weights: sp.csr_matrix
    device: torch.device

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.history.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.history.shape[1])

    def scores(self, users: Tensor) -> Tensor:
        """Return float32 ``[B, n_items]`` for user rows int64 ``[B]``."""
        block = (self.history[users.cpu().numpy()] @ self.weights).toarray()
        return torch.from_numpy(block).to(self.device)


@dataclass(frozen=True, slots=True, eq=False)
class DenseItemScorer:
    """Scores ``R W`` of a dense item-item matrix W: each user's row is the sum of W's rows of the consumed items.

    Attributes:
        offsets: int64 ``[n_users + 1]``: user u consumed ``items[offsets[u]:offsets[u + 1]]``.
        items: int64 ``[E]``.
        weights: W, float32 ``[n_items, n_items]``; row = consumed item, column = scored item.
    """

    offsets: Tensor
    items: Tensor
    weights: Tensor

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.weights)

    def scores(self, users: Tensor) -> Tensor:
        """Return float32 ``[B, n_items]`` on the device of the weights for user rows int64 ``[B]``."""
        users = users.to(self.offsets.device)
        first, lengths = self.offsets[users], self.offsets[users + 1] - self.offsets[users]
        starts = lengths.cumsum(0) - lengths
        places = torch.arange(int(lengths.sum()), device=users.device)
        consumed = self.items[places + (first - starts).repeat_interleave(lengths)]
        return F.embedding_bag(consumed, self.weights, starts, mode="sum")


class NeighbourRecommender(FittedRecommender):
    """A closed form that scores an item by its similarity to the user's items, each item keeping k neighbours.

    Args:
        train: Training interactions, whose histories are scored.
        n_neighbors: Neighbours kept an item; at most the catalogue.
        orientation: Whose neighbours they are.
    """

    neighbors: Tensor
    """int32 ``[n_items, k]``, most similar first, -1 where an item has fewer."""
    similarities: Tensor
    """float32 ``[n_items, k]``, 0 where an item has fewer."""

    def __init__(self, train: Interactions, n_neighbors: int, orientation: Orientation) -> None:
        super().__init__()
        shape = (train.n_items, min(n_neighbors, train.n_items))
        self.orientation = orientation
        self.history = train.matrix()
        self.register_buffer("neighbors", torch.full(shape, -1, dtype=torch.int32))
        self.register_buffer("similarities", torch.zeros(shape))

    def scoring(self) -> SparseItemScorer:
        """Return the scorer of the kept neighbours."""
        neighbors = self.neighbors.cpu().numpy()
        kept = neighbors >= 0
        offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        weights = sp.csr_matrix(
            (self.similarities.cpu().numpy()[kept], neighbors[kept], offsets), shape=(len(neighbors), len(neighbors))
        )
        if self.orientation == "column":
            weights = weights.T.tocsr()
        return SparseItemScorer(self.history, weights, self.neighbors.device)
