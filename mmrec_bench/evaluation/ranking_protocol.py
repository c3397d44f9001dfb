"""The protocol of the ranking task: given lists, judged against graded labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from mmrec_bench.clicks import ClickModelField
from mmrec_bench.evaluation.protocol import ProtocolConfig, check_names
from mmrec_bench.metrics.graded import GRADED_METRICS, GradedOptions
from mmrec_bench.metrics.identity import ids_of
from mmrec_bench.metrics.simulated import SimulatedMetric, SimulatedOptions
from mmrec_bench.settings import BaseConfig, check_rising, explained_error

EVALUATOR_VERSION = 1
"""Raised whenever the same orders would give other numbers; part of every protocol id."""


class SimulatedConfig(BaseConfig):
    """A metric that a click model computes from the order that is judged."""

    model: ClickModelField
    """Who browses, such as ``{name: pbm}``."""
    options: SimulatedOptions = SimulatedOptions()
    """What is summed."""

    @model_validator(mode="after")
    def _sees_labels_alone(self) -> Self:
        if getattr(self.model, "popularity", None) is not None:
            raise explained_error(
                f"a simulated metric judges by labels and ranks; remove the popularity bias of {self.model.name}"
            )
        return self

    def metric(self, name: str) -> SimulatedMetric:
        """Return the metric under this name."""
        return SimulatedMetric(name, self.model.expected, self.options)


class RankingProtocol(ProtocolConfig):
    """How given lists are judged: which are held out, which numbers are taken, against true labels."""

    cutoffs: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 3, 5, 10)
    """Numbers of top places k that count, rising; a list may be shorter."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("ndcg", "map", "mrr", "err", "precision")
    """Names of metrics."""
    select_by: str = "ndcg@10"
    """Validation metric by which weights are chosen; never rounded, never of the test part."""
    options: GradedOptions = GradedOptions()
    """Gain, denominators, and what becomes of ties and of lists without a relevant row."""
    simulated: Mapping[str, SimulatedConfig] = {}
    """Further metrics by name, such as ``{nsim-pbm: {model: pbm}}``: what a simulated user gains from the order."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_rising("cutoffs", self.cutoffs)
        check_names("metrics", self.metrics, GRADED_METRICS)
        for name in self.simulated:
            if name in GRADED_METRICS or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
                raise explained_error(
                    f"names under simulated are lower-case words with hyphens, such as nsim-pbm, and no metric's; "
                    f"got {name!r}"
                )
        if self.options.ties == "average" and (uneven := self._not_linear()):
            linear = ", ".join(name for name in GRADED_METRICS if GRADED_METRICS[name].linear)
            raise explained_error(
                f"options.ties: average is for metrics linear in gains ({linear}); got {', '.join(uneven)}. Remove "
                "these, or choose ties: hash"
            )
        self.check_select_by(self.metric_ids)
        return self

    def _not_linear(self) -> tuple[str, ...]:
        return (*(name for name in self.metrics if not GRADED_METRICS[name].linear), *self.simulated)

    @property
    def of_clicks(self) -> tuple[str, ...]:
        """Metrics that judge by clicks on the held-out lists, not by labels."""
        return tuple(name for name in self.metrics if GRADED_METRICS[name].against == "clicks")

    @property
    def metric_ids(self) -> tuple[str, ...]:
        """All ``name@k`` of this protocol, in the order of metrics, then cutoffs."""
        return ids_of((*self.metrics, *self.simulated), self.cutoffs)

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Accept any catalogue: lists are given."""

    @property
    def id(self) -> str:
        """Readable name plus a digest of all settings, such as ``ranking/x-label/1f2e3d4c``."""
        versions = {name: GRADED_METRICS[name].version for name in self.metrics}
        simulated = {name: found.metric(name).version for name, found in self.simulated.items()}
        code = self.digest(EVALUATOR_VERSION, versions, simulated_versions=simulated)
        return f"ranking/{self.split.name}/{code}"
