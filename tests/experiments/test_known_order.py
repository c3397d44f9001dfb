"""On worlds built for it, the known order of models comes out: five seeds, margins as stated in docs/synthetic.md."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.suite import Failure, PlannedRun, plan, run_all
from mmrec_bench.experiments.suite_config import load_suite

pytestmark = pytest.mark.slow

WORLDS = ("synthetic-image", "synthetic-text", "synthetic-collaborative")
CONTENT = ("vbpr", "freedom", "mgcn")


class Quiet:
    def on_run(self, planned: PlannedRun, number: int, total: int) -> None:
        pass

    def on_reused(self, planned: PlannedRun, number: int, total: int) -> None:
        pass

    def on_failure(self, failure: Failure) -> None:
        pass


@pytest.fixture(scope="module")
def recall(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], float]:
    """Mean test recall@20 over the seeds of the suite, by world and model."""
    suite = load_suite("suites/synthetic-order")
    settings = RunSettings(tmp_path_factory.mktemp("order"), torch.device("cpu"), use_threads())
    planned, failures = plan(suite.experiments, Preparer(None), settings.out)
    outcome = run_all(planned, settings, Quiet(), failures=failures)
    assert not outcome.failures
    found: dict[tuple[str, str], list[float]] = {}
    for label, run in outcome.runs:
        found.setdefault((run.manifest["dataset"], label), []).append(run.metrics["test"]["recall@20"])
    assert {len(values) for (_, model), values in found.items() if model != "popularity"} == {5}
    return {key: fmean(values) for key, values in found.items()}


@pytest.mark.parametrize("model", CONTENT)
@pytest.mark.parametrize("world", WORLDS[:2])
def test_content_wins_where_users_look_at_content(recall: dict[tuple[str, str], float], world: str, model: str) -> None:
    assert recall[world, model] >= 1.10 * max(recall[world, "mf"], recall[world, "lightgcn"])


def test_content_costs_little_where_nobody_looks_at_it(recall: dict[tuple[str, str], float]) -> None:
    world = "synthetic-collaborative"
    assert recall[world, "freedom"] >= 0.98 * recall[world, "lightgcn"]
    assert recall[world, "mgcn"] >= 0.98 * recall[world, "lightgcn"]
    assert recall[world, "vbpr"] >= 0.98 * recall[world, "mf"]


@pytest.mark.parametrize("world", WORLDS)
def test_popularity_is_below_mf(recall: dict[tuple[str, str], float], world: str) -> None:
    assert recall[world, "popularity"] <= 0.90 * recall[world, "mf"]


def test_the_graph_helps_where_it_carries_the_signal(recall: dict[tuple[str, str], float]) -> None:
    world = "synthetic-collaborative"
    assert recall[world, "lightgcn"] >= recall[world, "mf"]
