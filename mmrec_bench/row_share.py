"""The rows of a batch that this process works on, where several processes share each batch.

A loss that is a mean over the rows of a batch needs nothing from here: the trainer weighs it by the share of the rows.
One that is not, such as a contrast among all rows of a batch, calls `all_rows`; a draw for the rows of a batch is made
for the whole batch and cut by `own_rows`, so that it is the same however many processes share the batch. Without a
share, in training by one process, every function here hands back what it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.errors import TrainingError


@dataclass(frozen=True, slots=True)
class RowShare:
    """Which rows of a batch are those of this process.

    Attributes:
        start: First of them.
        stop: One behind the last of them.
        n_rows: Rows of the whole batch.
        group: Process group of those who share the batch; the rows of rank 0 come first, and so on.
    """

    start: int
    stop: int
    n_rows: int
    group: Any

    @property
    def weight(self) -> float:
        """Share of the rows that are here; what is returned by a loss counts so much in the loss of the batch."""
        return (self.stop - self.start) / self.n_rows

    def own(self, values: Tensor) -> Tensor:
        """Cut the own rows out of values of the whole batch, one or the same number of them for every row."""
        each, rest = divmod(len(values), self.n_rows)
        if rest:
            raise TrainingError(f"{len(values)} values cannot be those of {self.n_rows} rows of a batch")
        return values[self.start * each : self.stop * each]


_PRESENT: ContextVar[RowShare | None] = ContextVar("row_share", default=None)


def present() -> RowShare | None:
    """Return the share of the batch whose loss is being computed; None where one process has it all."""
    return _PRESENT.get()


@contextmanager
def sharing(share: RowShare | None) -> Iterator[None]:
    """Have losses computed inside be those of a share of a batch."""
    token = _PRESENT.set(share)
    try:
        yield
    finally:
        _PRESENT.reset(token)


@contextmanager
def answers() -> Iterator[None]:
    """Turn the ways in which other processes fail to answer into one of our errors.

    Raises:
        TrainingError: Another process has ended, or did not answer in time.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:  # what torch.distributed raises hangs on back-end and moment
        told = str(error).partition(". This is typically")[0].splitlines()[0]
        raise TrainingError(
            f"another process of this training has ended, or did not answer in time ({told}). Look for its own "
            "message; start all processes again with --resume to go on from the last checkpoint"
        ) from error


def all_rows(rows: Tensor) -> Tensor:
    """Return the rows ``[n, ...]`` of all processes, in the order of their ranks; gradients find their way back.

    How many rows a process has may differ, and need not be its rows of the batch: they may be without repeats.
    """
    return all_rows_and_place(rows)[0]


def all_rows_and_place(rows: Tensor) -> tuple[Tensor, int]:
    """Return `all_rows`, and where among them the first row of this process stands."""
    share = _PRESENT.get()
    if share is None:
        return rows, 0
    return cast(tuple[Tensor, int], _AllRows.apply(rows, share.group))  # type: ignore[no-untyped-call]


def own_rows(values: Tensor) -> Tensor:
    """Return the part of values ``[k B, ...]`` of the whole batch that belongs to the rows of this process."""
    share = _PRESENT.get()
    return values if share is None else share.own(values)


def n_rows(rows: Tensor) -> int:
    """Return the size B of the whole batch, of which these are the rows of this process."""
    share = _PRESENT.get()
    return len(rows) if share is None else share.n_rows


def total(values: Tensor) -> Tensor:
    """Return the sum over all processes of values that carry no gradient."""
    share = _PRESENT.get()
    return values if share is None else summed(values.detach().clone(), share.group)


def mean_over(sums: Tensor, count: Tensor) -> Tensor:
    """Return ``sums / max(count, 1)``, for a mean over what is counted in the whole batch, whatever its rows hold.

    Args:
        sums: Sum over the rows of this process, a scalar.
        count: How many things were added up there, a scalar.
    """
    share = _PRESENT.get()
    if share is None:
        return sums / count.clamp(min=1)
    return sums / (total(count).clamp(min=1) * share.weight)


def uniform(like: Tensor) -> Tensor:
    """Return uniform random numbers for rows ``[k n, ...]`` of the batch."""
    share = _PRESENT.get()
    return torch.rand_like(like) if share is None else share.own(torch.rand_like(_whole(like, share)))


def dropout(rows: Tensor, rate: float, training: bool) -> Tensor:
    """Return ``torch.nn.functional.dropout`` of rows ``[k n, ...]`` of the batch."""
    share = _PRESENT.get()
    if share is None or not training or not rate:
        return F.dropout(rows, rate, training)
    return rows * share.own(F.dropout(torch.ones_like(_whole(rows, share)), rate, training))


class RowDropout(nn.Dropout):
    """`dropout` as a layer."""

    def forward(self, rows: Tensor) -> Tensor:
        """Drop some of the values of rows ``[k n, ...]`` of the batch in training."""
        return dropout(rows, self.p, self.training)


def _whole(rows: Tensor, share: RowShare) -> Tensor:
    """Return a tensor with as many rows as the whole batch would have; its values are of no account."""
    each = len(rows) // (share.stop - share.start)
    return rows.detach().new_empty((each * share.n_rows, *rows.shape[1:]))


class _AllRows(torch.autograd.Function):
    """Gathers rows; the gradient of a row is the sum of what all processes' losses say of it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> tuple[Tensor, int]:
        sizes = torch.zeros(dist.get_world_size(group), dtype=torch.int64, device=rows.device)
        rank = dist.get_rank(group)
        sizes[rank] = len(rows)
        counts = cast(list[int], summed(sizes, group).tolist())
        ctx.group, ctx.start, ctx.stop = group, sum(counts[:rank]), sum(counts[: rank + 1])
        # Back-ends gather equal shapes of numbers alone.
        held = rows.detach().to(torch.uint8) if rows.dtype == torch.bool else rows.detach()
        padded = held.new_zeros((max(counts), *held.shape[1:]))
        padded[: len(held)] = held
        gathered = [torch.empty_like(padded) for _ in counts]
        with answers():
            dist.all_gather(gathered, padded, group=group)
        found = torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])
        return found.to(rows.dtype), ctx.start

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor, None]:
        return summed(gradient.contiguous().clone(), ctx.group)[ctx.start : ctx.stop], None


def summed(values: Tensor, group: Any) -> Tensor:
    """Replace values by their sum over the processes of a group, and return them."""
    with answers():
        dist.all_reduce(values, group=group)
    return values
