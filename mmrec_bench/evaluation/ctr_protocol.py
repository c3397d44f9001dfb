"""The protocol of the CTR task: probabilities of single impressions, judged against clicks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmrec_bench.evaluation.protocol import ProtocolConfig, check_names
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS
from mmrec_bench.settings import explained_error

EVALUATOR_VERSION = 1
"""Raised whenever the same probabilities would give other numbers; part of every protocol id."""


class CtrProtocol(ProtocolConfig):
    """How probabilities of clicks are judged: which impressions are held out, which numbers are taken."""

    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("auc", "gauc", "log-loss", "calibration")
    """Names of metrics."""
    select_by: Literal["auc", "gauc"] = "auc"
    """Validation metric by which weights are chosen; never rounded, never of the test part."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_names("metrics", self.metrics, PROBABILITY_METRICS)
        if self.select_by not in self.metrics:
            raise explained_error(f"select_by is {self.select_by}, which must be among metrics; got {self.metrics}")
        if self.tie_seed:
            raise explained_error("equal probabilities count half, so tie_seed would do nothing; remove it")
        return self

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Accept any catalogue: impressions are given."""

    @property
    def id(self) -> str:
        """Readable name plus a digest of all settings, such as ``ctr/time-window/1f2e3d4c``."""
        code = self.digest(EVALUATOR_VERSION, {name: PROBABILITY_METRICS[name].version for name in self.metrics})
        return f"ctr/{self.split.name}/{code}"
