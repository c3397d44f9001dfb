"""Learning-rate schedules: pure functions of the epoch, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig


class Schedule(BaseConfig, ABC):
    """Factor of the learning rate, constant within an epoch: ``warm-up(epoch) * decay(epoch)``."""

    name: str
    warmup_epochs: NonNegativeInt = 0
    """Epochs over which the rate rises linearly: epoch e (from 0) has the share ``(e + 1) / warmup_epochs``."""

    def factor(self, epoch: int, max_epochs: int) -> float:
        """Return what the learning rate is multiplied with in ``epoch`` (from 0)."""
        if epoch < self.warmup_epochs:
            return (epoch + 1) / self.warmup_epochs * self.decay(epoch, max_epochs)
        return self.decay(epoch, max_epochs)

    @abstractmethod
    def decay(self, epoch: int, max_epochs: int) -> float:
        """Return the factor without warm-up."""


class ConstantSchedule(Schedule):
    """The rate stays as it is."""

    name: Literal["constant"] = "constant"

    def decay(self, epoch: int, max_epochs: int) -> float:
        """Return 1."""
        return 1.0


class ExponentialSchedule(Schedule):
    """``rate ** (epoch / every)``: smooth, not a staircase."""

    name: Literal["exponential"] = "exponential"
    rate: Annotated[float, Field(gt=0, le=1)] = 0.96
    """Factor gained every `every` epochs."""
    every: PositiveInt = 50
    """Epochs after which the rate has fallen by `rate`."""

    def decay(self, epoch: int, max_epochs: int) -> float:
        """Return the power."""
        return float(self.rate ** (epoch / self.every))


class CosineSchedule(Schedule):
    """Half a cosine from 1 towards ``floor`` over the epochs after warm-up (Loshchilov and Hutter 2017, eq. 5)."""

    name: Literal["cosine"] = "cosine"
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor that would be reached at epoch `max_epochs`, one after the last."""

    def decay(self, epoch: int, max_epochs: int) -> float:
        """Return the cosine; 1 during warm-up."""
        if epoch < self.warmup_epochs:
            return 1.0
        share = (epoch - self.warmup_epochs) / (max_epochs - self.warmup_epochs)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")
"""The registry of schedules."""

SCHEDULES.register("constant", ConstantSchedule)
SCHEDULES.register("exponential", ExponentialSchedule)
SCHEDULES.register("cosine", CosineSchedule)
