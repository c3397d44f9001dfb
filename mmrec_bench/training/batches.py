"""Batch sources: all batches of an epoch are drawn at once, as a function of (seed, epoch), on the model's device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError
from mmrec_bench.models.base import Batch, Pairs, Triplets
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.negatives import UnseenItems


class BatchSource(Protocol):
    """What an epoch is made of."""

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch (from 0); they depend on seed and epoch, not on epochs drawn before."""


class PairBatches:
    """Every observed pair once an epoch, in random order; the last batch may be smaller.

    Args:
        train: Observed pairs.
        batch_size: Pairs in a batch.
        seeds: Random streams of the run; uses ``order``.
        device: Where batches are made.

    Raises:
        DataError: There are no pairs.
    """

    def __init__(self, train: Interactions, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        self._rows = _ShuffledRows(train, batch_size, seeds, device)

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""
        return self._rows.n_batches

    def epoch(self, epoch: int) -> Iterator[Pairs]:
        """Yield the batches of an epoch."""
        for users, items in self._rows.batches(epoch, self._rows.users, self._rows.items):
            yield Pairs(users, items)


class TripletBatches:
    """Every observed pair once an epoch, with one item drawn from those its user has not seen (`UnseenItems`).

    Args:
        train: Observed pairs.
        batch_size: Pairs in a batch.
        seeds: Random streams of the run; uses ``order`` and ``negatives``.
        device: Where batches are made.

    Raises:
        DataError: There are no pairs, or a user has seen every item of the training part.
    """

    def __init__(self, train: Interactions, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        self._rows = _ShuffledRows(train, batch_size, seeds, device)
        self._unseen = UnseenItems(train, device)
        self._seeds = seeds

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""
        return self._rows.n_batches

    def epoch(self, epoch: int) -> Iterator[Triplets]:
        """Yield the batches of an epoch."""
        # Drawn in the order of users and shuffled afterwards: neighbouring look-ups stay near in memory.
        generator = self._seeds.generator("negatives", epoch, self._rows.users.device)
        drawn = self._unseen.draw(self._rows.users, generator)
        for users, positives, negatives in self._rows.batches(epoch, self._rows.users, self._rows.items, drawn):
            yield Triplets(users, positives, negatives)


class _ShuffledRows:
    """Pairs by user and item, so that batches do not depend on the order of the file, and their order in an epoch."""

    def __init__(self, train: Interactions, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        if not len(train):
            raise DataError("training needs at least one interaction; the training part is empty")
        rows = np.argsort(train.keys())
        self.users = torch.tensor(train.users[rows], device=device)
        self.items = torch.tensor(train.items[rows], device=device)
        self.n_batches = -(-len(rows) // batch_size)
        self._batch_size = batch_size
        self._seeds = seeds

    def batches(self, epoch: int, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Shuffle the columns alike and cut them."""
        device = self.users.device
        order = torch.randperm(len(self.users), generator=self._seeds.generator("order", epoch, device), device=device)
        shuffled = (column.index_select(0, order) for column in columns)
        return zip(*(torch.split(column, self._batch_size) for column in shuffled), strict=True)
