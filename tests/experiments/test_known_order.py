"""On worlds built for it, the known order of models comes out: five seeds, margins as stated in docs/synthetic.md."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch

from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import Failure, PlannedRun, plan, run_all

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


def _means(suite_name: str, metric: str, out: Path) -> dict[tuple[str, str], float]:
    """Return the mean of a test metric over the seeds of a suite, by world and label."""
    suite = load_suite(suite_name)
    settings = RunSettings(out, torch.device("cpu"), use_threads())
    planned, failures = plan(suite.experiments, Preparer(None), settings.out)
    outcome = run_all(planned, settings, Quiet(), failures=failures)
    assert not outcome.failures
    found: dict[tuple[str, str], list[float]] = {}
    for label, run in outcome.runs:
        found.setdefault((run.manifest["dataset"], label), []).append(run.metrics["test"][metric])
    assert {len(values) for (_, model), values in found.items() if model not in ("popularity", "initial")} == {5}
    return {key: fmean(values) for key, values in found.items()}


@pytest.fixture(scope="module")
def recall(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], float]:
    return _means("suites/synthetic-order", "recall@20", tmp_path_factory.mktemp("order"))


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


def test_rankers_that_take_the_bias_out_of_clicks_lie_between_naive_ones_and_labels(tmp_path: Path) -> None:
    ndcg = {label: value for (_, label), value in _means("suites/synthetic-ranking", "ndcg@5", tmp_path).items()}
    initial, naive, labels = (ndcg.pop(name) for name in ("initial", "mlp, clicks as they are", "mlp, labels"))
    assert initial < naive - 0.2
    assert len(ndcg) == 10
    assert min(ndcg.values()) > naive + 0.03
    assert max(ndcg.values()) < labels
