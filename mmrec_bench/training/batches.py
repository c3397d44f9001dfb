"""Batch sources: all batches of an epoch are drawn at once, as a function of (seed, epoch), on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError
from mmrec_bench.models.base import Batch, Items, Pairs, Triplets
from mmrec_bench.models.ctr.base import CtrPart, PointBatch
from mmrec_bench.models.ctr.feed import PointFeed
from mmrec_bench.models.ranking.base import ListBatch, Teaching
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.negatives import UnseenItems
from mmrec_bench.types import IntArray


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
        self._rows = _ShuffledPairs(train, batch_size, seeds, device)

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
        self._rows = _ShuffledPairs(train, batch_size, seeds, device)
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


class ItemBatches:
    """Every given item once an epoch, in random order; the last batch may be smaller.

    Args:
        train: Item ids, int64 ``[n]``.
        batch_size: Items in a batch.
        seeds: Random streams of the run; uses ``order``.
        device: Where batches are made.

    Raises:
        DataError: There are no items.
    """

    def __init__(self, train: IntArray, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        self._ids = torch.tensor(np.sort(train), device=device)
        self._shuffle = _Shuffle(len(train), "item", batch_size, seeds, device)

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""
        return self._shuffle.n_batches

    def epoch(self, epoch: int) -> Iterator[Items]:
        """Yield the batches of an epoch."""
        for (ids,) in self._shuffle.batches(epoch, self._ids):
            yield Items(ids)


class ListBatches:
    """Every training list once an epoch, in random order; the last batch may be smaller.

    Args:
        train: Training lists.
        batch_size: Lists in a batch.
        seeds: Random streams of the run; uses ``order``.
        device: Where batches are made.
        teaches: Which facts of the lists are shown to the model.
        history_length: How many of the latest history items.

    Raises:
        DataError: There are no lists, or they do not hold what is to be learned.
    """

    def __init__(
        self,
        train: Lists,
        batch_size: int,
        seeds: Seeds,
        device: torch.device,
        *,
        teaches: Teaching,
        history_length: int,
    ) -> None:
        if teaches == "order":
            train.require_orders()
        elif getattr(train, teaches) is None:
            raise DataError(f"the model learns from {teaches}, and the training lists hold none")
        ties = np.zeros(train.n_items, np.int64)  # nothing is put in order here
        self._lists = PaddedLists(train, ties, device, history_length)
        self._teaches = teaches
        self._ids = torch.arange(train.n_lists, device=device)
        self._shuffle = _Shuffle(train.n_lists, "list", batch_size, seeds, device)

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""
        return self._shuffle.n_batches

    def epoch(self, epoch: int) -> Iterator[ListBatch]:
        """Yield the batches of an epoch."""
        for (ids,) in self._shuffle.batches(epoch, self._ids):
            yield self._lists.batch(ids, self._teaches)


class PointBatches:
    """Every training impression once an epoch, in random order or in that of time; the last batch may be smaller.

    Args:
        train: Training impressions.
        batch_size: Impressions in a batch.
        seeds: Random streams of the run; uses ``order``.
        device: Where batches are made.
        history_length: How many of the latest history items.
        order: ``random`` or ``time``.

    Raises:
        DataError: There are no impressions.
    """

    def __init__(
        self,
        train: CtrPart,
        batch_size: int,
        seeds: Seeds,
        device: torch.device,
        *,
        history_length: int,
        order: str = "random",
    ) -> None:
        self._feed = PointFeed(train, device, history_length)
        self._ids = torch.arange(len(train), device=device)
        self._in_time, self._batch_size = order == "time", batch_size
        self._shuffle = _Shuffle(len(train), "impression", batch_size, seeds, device)

    @property
    def n_batches(self) -> int:
        """Number of batches in every epoch."""
        return self._shuffle.n_batches

    def epoch(self, epoch: int) -> Iterator[PointBatch]:
        """Yield the batches of an epoch."""
        if self._in_time:
            yield from map(self._feed.batch, torch.split(self._ids, self._batch_size))
        else:
            for (ids,) in self._shuffle.batches(epoch, self._ids):
                yield self._feed.batch(ids)


SOURCES: Mapping[type[Batch], Callable[..., BatchSource]] = {
    Pairs: PairBatches,
    Triplets: TripletBatches,
    Items: ItemBatches,
    ListBatch: ListBatches,
    PointBatch: PointBatches,
}
"""Where batches of a kind come from: made of the training part of the context, batch size, seeds and device, and of
`GradientModel.batch_options`."""


class _Shuffle:
    """The order of n rows in an epoch, and its cut into batches."""

    def __init__(self, n: int, what: str, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        if not n:
            raise DataError(f"training needs at least one {what}; the training part is empty")
        self.n_batches = -(-n // batch_size)
        self._n, self._batch_size, self._seeds, self._device = n, batch_size, seeds, device

    def batches(self, epoch: int, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Shuffle the columns, each of length n, alike and cut them."""
        generator = self._seeds.generator("order", epoch, self._device)
        order = torch.randperm(self._n, generator=generator, device=self._device)
        shuffled = (column.index_select(0, order) for column in columns)
        return zip(*(torch.split(column, self._batch_size) for column in shuffled), strict=True)


class _ShuffledPairs(_Shuffle):
    """Pairs by user and item, so that batches do not depend on the order of the file."""

    def __init__(self, train: Interactions, batch_size: int, seeds: Seeds, device: torch.device) -> None:
        super().__init__(len(train), "interaction", batch_size, seeds, device)
        rows = np.argsort(train.keys())
        self.users = torch.tensor(train.users[rows], device=device)
        self.items = torch.tensor(train.items[rows], device=device)
