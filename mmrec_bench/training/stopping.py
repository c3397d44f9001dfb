"""Early stopping: which epoch is best so far, and for how many validations nothing was better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmrec_bench.errors import TrainingError
from mmrec_bench.training.records import Validation


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the search for the best epoch stands.

    Attributes:
        epoch: Best epoch so far, or None before the first validation.
        score: Its score, -inf before the first validation.
        metrics: All its metrics.
        waited: Validations since then, none of them strictly better; scores are compared unrounded.
    """

    epoch: int | None = None
    score: float = -math.inf
    metrics: Mapping[str, float] = field(default_factory=dict)
    waited: int = 0

    def after(self, epoch: int, validation: Validation) -> Progress:
        """Return the standing after the validation of an epoch.

        Raises:
            TrainingError: The score is not finite.
        """
        if not math.isfinite(validation.score):
            raise TrainingError(
                f"the validation score of epoch {epoch} is {validation.score}; the best epoch cannot be chosen. "
                "Select by a metric that is defined for the validation part"
            )
        if self.epoch is None or validation.score > self.score:
            return Progress(epoch, validation.score, dict(validation.metrics))
        return Progress(self.epoch, self.score, self.metrics, self.waited + 1)
