"""Where the best order is no order of scores, arranging beats scoring, and nothing does without the history."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.evaluation.ranking import RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.stations.ranking import RankingStation
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.trainer import train

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SCORERS = ("starank-scores", "din", "prm", "dlcm", "mlp", "lambdamart")
prepare = Preparer(None)


@cache
def found(name: str) -> tuple[float, float]:
    """Test ndcg@5 of one seed of a config: with the histories as they are, and with those of others."""
    experiment = load_experiment(f"synthetic-diverse/{name}")
    config, prepared = experiment.config, prepare(experiment)
    station = RankingStation(experiment, prepared, CPU)
    model, context = station.build(0)
    train(model, context, config.trainer or TrainerConfig(), station.validate, Seeds(0), CPU)
    test: Lists = prepared.split.test.open("the known order of models", VaultLedger())
    assert test.histories is not None
    others = test.histories.select(np.random.default_rng(0).permutation(test.n_lists))
    protocol = config.protocol
    assert isinstance(protocol, RankingProtocol)
    values = []
    for lists in (test, dataclasses.replace(test, histories=others)):
        evaluator = RankingEvaluator(lists, prepared.ties, protocol.metrics, protocol.cutoffs, protocol.options, CPU)
        values.append(evaluator.evaluate(model).means["ndcg@5"])
    return values[0], values[1]


@pytest.mark.parametrize("scorer", SCORERS)
def test_arranging_beats_scoring(scorer: str) -> None:
    assert found("starank")[0] > found(scorer)[0] + 0.01


def test_without_the_right_history_the_lead_is_lost() -> None:
    right, wrong = found("starank")
    assert right > 0.9
    assert wrong < 0.75
    assert wrong < found("din")[0]
    assert wrong < found("starank-scores")[0]
