"""How a model is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, NonNegativeFloat, PositiveFloat, PositiveInt, SerializeAsAny
from torch import nn
from torch.optim import Optimizer

from mmrec_bench.errors import TrainingError
from mmrec_bench.settings import BaseConfig, named
from mmrec_bench.training.schedules import SCHEDULES, ConstantSchedule, Schedule
from mmrec_bench.training.steps import STEP_RULES, PlainStep, StepRule

AnySchedule = Annotated[
    SerializeAsAny[Schedule], BeforeValidator(named(lambda: SCHEDULES, Schedule, lambda entry: entry))
]
AnyStepRule = Annotated[
    SerializeAsAny[StepRule], BeforeValidator(named(lambda: STEP_RULES, StepRule, lambda entry: entry))
]


class TrainerConfig(BaseConfig):
    """How a model is trained; closed-form models use nothing of it."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """``adam`` adds weight decay to the gradient, ``adamw`` decouples it, ``sgd`` has no momentum."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate before the schedule."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay of the optimiser; the regularisers of the models are apart from it."""
    batch_size: PositiveInt = 2048
    """Observed pairs in a batch; the last batch of an epoch may be smaller."""
    order: Literal["random", "time"] = "random"
    """Order of the training rows in an epoch: shuffled, or as they happened, of CTR models alone. With
    ``max_epochs: 1``, ``time`` is a single ordered pass, as of a system that learns while it serves."""
    max_epochs: PositiveInt = 1000
    """Epochs after which training ends in any case."""
    validate_every: PositiveInt = 1
    """Validate after every so many epochs, and after the last."""
    patience: PositiveInt = 20
    """Training ends at this many validations in a row without a score strictly above the best so far, unrounded.
    Released harnesses compare scores rounded to four decimals and end when their counter *exceeds* 20, at the 21st:
    that is ``patience: 21`` here."""
    schedule: AnySchedule = ConstantSchedule()
    """Learning rate by epoch: ``constant``, ``{name: exponential, rate: 0.96, every: 50}`` or ``cosine``."""
    step: AnyStepRule = PlainStep()
    """What is done with the loss of a batch: ``plain`` or ``{name: mirror-gradient, alpha2: 0.1, beta: 3}``; both take
    ``clip_norm``."""
    checkpoint_seconds: NonNegativeFloat = 60.0
    """Seconds that must have passed since the last checkpoint before an epoch's end writes the next; 0 writes one
    after every epoch. A killed run loses at most this and one epoch."""

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch (from 0)."""
        return self.learning_rate * self.schedule.factor(epoch, self.max_epochs)

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimiser of the trainable ones among these parameters.

        The fused kernels of CPU and CUDA update all moments in one pass over memory, which bounds dense Adam on large
        tables.

        Raises:
            TrainingError: There is nothing to train.
        """
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        if not trainable:
            raise TrainingError("the model has no trainable parameters; a model without gradient steps implements fit")
        rate, decay = self.learning_rate, self.weight_decay
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
        match self.optimizer:
            case "adam":
                return torch.optim.Adam(trainable, lr=rate, weight_decay=decay, fused=fused)
            case "adamw":
                return torch.optim.AdamW(trainable, lr=rate, weight_decay=decay, fused=fused)
            case "sgd":
                return torch.optim.SGD(trainable, lr=rate, weight_decay=decay, fused=fused)
