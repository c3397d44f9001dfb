"""Step rules: what is done with the loss of one batch. A trick is a rule here, never a flag of the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from mmrec_bench.errors import TrainingError
from mmrec_bench.models.base import LossTerms
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig
from mmrec_bench.training.team import ALONE, Team


class StepRule(BaseConfig, ABC):
    """How one batch moves the parameters; without state, so that a resumed run needs none."""

    name: str
    clip_norm: PositiveFloat | None = None
    """Largest norm of the gradient of all parameters together; a longer one is scaled down to it before each step of
    the optimiser. Null: no clipping."""

    @abstractmethod
    def step(self, losses: Callable[[], LossTerms], optimizer: Optimizer, batch: int, team: Team = ALONE) -> LossTerms:
        """Move the parameters.

        Args:
            losses: Computes the loss terms of this batch at the present parameters.
            optimizer: Holds the parameters.
            batch: Number of the batch in its epoch, from 0.
            team: Who shares the batch; their gradients are added up before each step of the optimiser.

        Returns:
            The terms before the move, for the log.
        """

    def _descend(self, terms: LossTerms, optimizer: Optimizer, team: Team, scale: float = 1.0) -> None:
        """Do one step of the optimiser on ``scale`` times the sum of the terms."""
        loss = total_loss(terms)
        optimizer.zero_grad(set_to_none=True)
        (loss if scale == 1.0 else scale * loss).backward()  # type: ignore[no-untyped-call]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        team.add_up(parameters)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        optimizer.step()


class PlainStep(StepRule):
    """One step down the gradient."""

    name: Literal["plain"] = "plain"

    def step(self, losses: Callable[[], LossTerms], optimizer: Optimizer, batch: int, team: Team = ALONE) -> LossTerms:
        """Step on L."""
        terms = losses()
        self._descend(terms, optimizer, team)
        return terms


class MirrorGradientStep(StepRule):
    """Mirror gradient (Zhong et al., WWW 2024, https://arxiv.org/abs/2402.11262): towards flat minima.

    In batches 0, beta, 2 beta, ... of an epoch: a step on ``alpha1 * L``, then, on the same batch at the moved point, a
    step on ``-alpha2 * L``. Plain steps otherwise. Both steps go through the optimiser and are clipped alike.
    """

    name: Literal["mirror-gradient"] = "mirror-gradient"
    alpha1: PositiveFloat = 1.0
    """Weight of the step down."""
    alpha2: PositiveFloat = 0.1
    """Weight of the step back up; the paper tries 0.1, 0.2 and 0.3."""
    beta: PositiveInt = 3
    """Every which batch is mirrored."""

    def step(self, losses: Callable[[], LossTerms], optimizer: Optimizer, batch: int, team: Team = ALONE) -> LossTerms:
        """Step on ``alpha1 * L`` and ``-alpha2 * L``, or on L."""
        terms = losses()
        if batch % self.beta:
            self._descend(terms, optimizer, team)
        else:
            self._descend(terms, optimizer, team, self.alpha1)
            self._descend(losses(), optimizer, team, -self.alpha2)
        return terms


def total_loss(terms: LossTerms) -> Tensor:
    """Return the sum of the terms.

    Raises:
        TrainingError: There is no term, a term is no scalar, or no parameter has a part in them.
    """
    if not terms:
        raise TrainingError("the loss has no terms; a model's loss must return at least one named term")
    if odd := [f"'{name}' {list(term.shape)}" for name, term in terms.items() if term.ndim]:
        raise TrainingError(f"loss terms must be scalars, tensors of shape []; got {', '.join(odd)}")
    loss = torch.stack(list(terms.values())).sum() if len(terms) > 1 else next(iter(terms.values()))
    if not loss.requires_grad:
        raise TrainingError(f"the loss ({', '.join(terms)}) depends on no trainable parameter")
    return loss


STEP_RULES: Registry[type[StepRule]] = Registry("step rule")
"""The registry of step rules."""

STEP_RULES.register("plain", PlainStep)
STEP_RULES.register("mirror-gradient", MirrorGradientStep)
