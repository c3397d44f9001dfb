"""Who trains: this process alone, or several that share every batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from mmrec_bench.errors import ResourceError, TrainingError
from mmrec_bench.models.base import Batch, GradientModel, LossTerms
from mmrec_bench.row_share import RowShare, answers, sharing, summed
from mmrec_bench.training.records import Validation

STEP_TIMEOUT = timedelta(minutes=10)
"""How long a step waits for the others before it gives up."""
LEADER_TIMEOUT = timedelta(days=1)
"""How long the others wait for what the first process does alone: features, validation, the test."""
JOIN_TIMEOUT = timedelta(minutes=2)
"""How long processes wait for each other at the start."""


class Team:
    """This process alone."""

    rank = 0
    """Number of this process; process 0 leads: it alone validates, writes and prints."""
    size = 1
    """Number of processes."""
    backend: str | None = None
    """How they talk: ``gloo`` on CPUs, ``nccl`` on CUDA devices."""

    def losses(self, model: GradientModel, batch: Batch) -> Callable[[], LossTerms]:
        """Return what computes the loss terms of a batch: of this process, such that those of all add up to them."""
        return partial(model.loss, batch)

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradient of every parameter by its sum over the processes."""

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of values over the processes; they may be overwritten."""
        return values

    def led(self, validate: Callable[[], Validation]) -> Validation:
        """Return what the leader finds."""
        return validate()

    def leader_first(self, work: Callable[[], None]) -> None:
        """Have the leader alone do some work, and wait until it is done."""
        work()

    @property
    def facts(self) -> dict[str, Any] | None:
        """What a manifest says of them; None where there is nobody else."""
        return None

    @contextmanager
    def training(self, run: str) -> Iterator[None]:
        """Have the others train a run along with what is done inside; they are told if it fails."""
        yield

    def finish(self) -> None:
        """Tell the others that there is nothing more to train, and part from them."""

    def announced(self) -> str | None:
        """Wait until the leader announces a run, and return it."""
        return None

    def close(self) -> None:
        """Part from the others; whoever waits for this process is told."""


ALONE = Team()


class Group(Team):
    """Several processes, each with the same model, that share the rows of every batch.

    All of them draw the same batches. Each computes the loss of its rows, weighed by their share of the batch; losses
    that are no means over rows ask for the others' (`mmrec_bench.row_share`). Gradients are then added up, so that all
    take the same step: that of one process, but for the order in which floating-point numbers are added.

    Args:
        rank: Number of this process.
        size: Number of processes, at least two.
        device: Where this process trains.
        join_timeout: How long to wait for the others at the start.
        step_timeout: How long a step waits for them.

    Raises:
        ResourceError: The others do not come together at MASTER_ADDR and MASTER_PORT.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        device: torch.device,
        join_timeout: timedelta = JOIN_TIMEOUT,
        step_timeout: timedelta = STEP_TIMEOUT,
    ) -> None:
        self.rank, self.size = rank, size
        self.backend = "nccl" if device.type == "cuda" else "gloo"
        try:
            store, _, _ = next(rendezvous("env://", rank, size, timeout=join_timeout))
            dist.init_process_group(self.backend, store=store, rank=rank, world_size=size, timeout=step_timeout)
            # The leader's own work takes longer than any step, and is told in bytes.
            self._told = dist.new_group(backend="gloo", timeout=LEADER_TIMEOUT)
        except (RuntimeError, ValueError, OSError) as error:
            raise ResourceError(
                f"process {rank} of {size} cannot join the others within {join_timeout.total_seconds():.0f} seconds: "
                f"{error}. WORLD_SIZE asks for training by several processes: start it with torchrun "
                "(see docs/data-parallel.md), or unset WORLD_SIZE"
            ) from error
        self._steps = dist.group.WORLD

    def losses(self, model: GradientModel, batch: Batch) -> Callable[[], LossTerms]:
        """Return what computes the weighed loss terms of the own rows."""
        n_rows = rows_of(batch)
        if n_rows < self.size:  # too few to share: everybody has all of them, and an equal part in the gradient
            return partial(_weighed, model, batch, None, 1.0 / self.size)
        start, stop = (n_rows * place // self.size for place in (self.rank, self.rank + 1))
        share = RowShare(start, stop, n_rows, self._steps)
        return partial(_weighed, model, cut(batch, slice(start, stop)), share, share.weight)

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradient of every parameter by its sum over the processes.

        A parameter without a gradient here, and with one elsewhere, gets it all the same.
        """
        trained = list(parameters)
        there = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32, device=trained[0].device)
        for parameter, anywhere in zip(trained, self.total(there).tolist(), strict=True):
            if anywhere:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                self.total(parameter.grad)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of values over the processes, in their place."""
        return summed(values, self._steps)

    def led(self, validate: Callable[[], Validation]) -> Validation:
        """Have the leader validate, and tell the others."""
        mine = validate() if self.rank == 0 else None
        told = self._told_by_leader(mine and {"score": mine.score, "metrics": dict(mine.metrics)})
        return Validation(told["score"], told["metrics"])

    def leader_first(self, work: Callable[[], None]) -> None:
        """Have the leader alone do some work, while the others wait; they are told if it fails."""
        if self.rank == 0:
            try:
                work()
            except BaseException:
                self.close()
                raise
        self._told_by_leader({"done": True})

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of them."""
        return {"world_size": self.size, "backend": self.backend}

    @contextmanager
    def training(self, run: str) -> Iterator[None]:
        """Have the others train a run along with what is done inside; they are told if it fails."""
        self._told_by_leader({"run": run})
        try:
            yield
        except BaseException:
            self.close()
            raise

    def finish(self) -> None:
        """Tell the others that there is nothing more to train, and part from them."""
        with suppress(TrainingError):  # they have gone already
            self._told_by_leader({"run": None})
        self.close()

    def announced(self) -> str | None:
        """Wait until the leader announces a run, and return it."""
        run: str | None = self._told_by_leader(None)["run"]
        return run

    def close(self) -> None:
        """Part from the others; whoever waits for this process finds its connection closed."""
        if dist.is_initialized():
            self._steps = self._told = None
            dist.destroy_process_group()

    def _told_by_leader(self, facts: Any) -> Any:
        if self._told is None:
            raise TrainingError(
                "was not tried: the processes have parted, for an earlier run failed. Start all of them again for the "
                "runs that are missing"
            )
        content = torch.tensor(list(json.dumps(facts).encode()), dtype=torch.uint8)
        size = torch.tensor([len(content)])
        with answers():
            dist.broadcast(size, src=0, group=self._told)
            if self.rank:
                content = torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(content, src=0, group=self._told)
        return json.loads(bytes(content.tolist()))


def rows_of(batch: Batch) -> int:
    """Return the number of rows of a batch: the length of its first tensor."""
    return len(next(_tensors(batch)))


def cut(batch: Any, rows: slice) -> Any:
    """Return some rows of a batch: of each of its tensors, those of the parts inside it included."""
    parts = {item.name: getattr(batch, item.name) for item in fields(batch)}
    kept = {
        name: part[rows] if isinstance(part, Tensor) else cut(part, rows)
        for name, part in parts.items()
        if isinstance(part, Tensor) or is_dataclass(part)
    }
    return replace(batch, **kept)


def _tensors(batch: Any) -> Any:
    for item in fields(batch):
        part = getattr(batch, item.name)
        if isinstance(part, Tensor):
            yield part
        elif is_dataclass(part):
            yield from _tensors(part)


def _weighed(model: GradientModel, batch: Batch, share: RowShare | None, weight: float) -> LossTerms:
    with sharing(share):
        return {name: weight * term for name, term in model.loss(batch).items()}
