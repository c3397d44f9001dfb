"""The tuning of a suite: one budget, the same for every model."""

from __future__ import annotations

from typing import Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mmrec_bench.experiments.tuning.study import Budget, PrunerName, SamplerName, Search
from mmrec_bench.settings import BaseConfig, explained_error

SHIPPED_SPACES = "configs/tuning"


class TuningConfig(BaseConfig):
    """How the models of a suite are tuned, each by a study of its own, before their winners are run."""

    spaces: str | None = None
    """A folder that holds a search space for each model, by its name, relative to the suite file; the shipped ones by
    default."""
    trials: PositiveInt | None = None
    """Trials that each study may spend."""
    seconds: PositiveFloat | None = None
    """Seconds that all trials of a study may take together; with both, what is spent first ends it."""
    sampler: SamplerName = "tpe"
    """What draws the values."""
    pruner: PrunerName = "median"
    """What gives up hopeless trials at a validation."""
    study_seed: NonNegativeInt = 0
    """Seed of the sampler and of all trials."""

    @model_validator(mode="after")
    def _spends(self) -> Self:
        if self.trials is None and self.seconds is None:
            raise explained_error("needs trials, seconds, or both")
        return self

    @property
    def budget(self) -> Budget:
        """What each study may spend."""
        return Budget(self.trials, self.seconds)

    @property
    def search(self) -> Search:
        """How each study searches."""
        return Search(self.sampler, self.pruner, self.study_seed)
