"""The more severe the position bias, the more it costs whoever takes clicks as they are; see docs/ranking.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan

pytestmark = pytest.mark.slow

NAIVE, UNBIASED = "mlp", ("ipw", "dla")
SEVERITIES = (0.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def ndcg(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """NDCG@5 on true labels by model, one a severity of position-based clicks."""
    suite = load_suite("suites/severity")
    wanted = {f"{model}, pbm {severity}": model for model in (NAIVE, *UNBIASED) for severity in SEVERITIES}
    chosen = [experiment for experiment in suite.experiments if experiment.label in wanted]
    settings = RunSettings(tmp_path_factory.mktemp("severity"), torch.device("cpu"), use_threads())
    planned, failures = plan(chosen, Preparer(None), settings.out)
    assert not failures
    assert len(planned) == len(wanted)
    found: dict[str, list[float]] = {}
    for item in planned:
        artefact = run(item.experiment, item.prepared, item.key, settings)
        found.setdefault(wanted[item.experiment.label], []).append(artefact.metrics["test"]["ndcg@5"])
    return found


def test_the_naive_ranker_loses_with_severity(ndcg: dict[str, list[float]]) -> None:
    assert ndcg[NAIVE] == sorted(ndcg[NAIVE], reverse=True)
    assert np.polyfit(SEVERITIES, ndcg[NAIVE], 1)[0] < -0.03


@pytest.mark.parametrize("model", UNBIASED)
def test_who_takes_the_bias_out_loses_less(ndcg: dict[str, list[float]], model: str) -> None:
    assert abs(ndcg[model][0] - ndcg[NAIVE][0]) < 0.01, "without a bias there is nothing to take out"
    assert ndcg[model][-1] > ndcg[NAIVE][-1] + 0.02
    assert np.polyfit(SEVERITIES, ndcg[model], 1)[0] > np.polyfit(SEVERITIES, ndcg[NAIVE], 1)[0] + 0.01
