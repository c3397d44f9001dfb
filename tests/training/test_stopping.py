from __future__ import annotations

import math

import pytest

from mmrec_bench.errors import TrainingError
from mmrec_bench.training.records import EpochRecord, TrainingResult, Validation
from mmrec_bench.training.stopping import Progress


def after(scores: list[float]) -> Progress:
    progress = Progress()
    for epoch, score in enumerate(scores):
        progress = progress.after(epoch, Validation(score, {"m": score}))
    return progress


def test_first_best_wins_and_ties_do_not_count() -> None:
    progress = after([0.1, 0.3, 0.3, 0.2, 0.3])
    assert (progress.epoch, progress.score, progress.waited) == (1, 0.3, 3)
    assert progress.metrics == {"m": 0.3}


def test_scores_are_not_rounded() -> None:
    assert after([0.08001, 0.08001 + 1e-12]).epoch == 1


def test_improvement_sets_the_counter_back() -> None:
    assert after([0.1, 0.1, 0.1, 0.2]).waited == 0
    assert after([-5.0, -4.0]).epoch == 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_must_be_finite(score: float) -> None:
    with pytest.raises(TrainingError, match=r"validation score of epoch 3 is -?(nan|inf)"):
        Progress().after(3, Validation(score, {}))


def test_history_line_and_seconds() -> None:
    first = EpochRecord(0, 1.0, 0.0, 1.0, 1e-3, 0.75, {"bpr": 0.5, "reg": 0.25}, None)
    second = EpochRecord(1, 2.0, 0.5, 4.5, 1e-3, 0.5, {"bpr": 0.4, "reg": 0.1}, {"recall@20": 0.07})
    assert first.as_json() == {
        "epoch": 0,
        "train_seconds": 1.0,
        "validate_seconds": 0.0,
        "cpu_seconds": 1.0,
        "learning_rate": 1e-3,
        "loss": 0.75,
        "bpr": 0.5,
        "reg": 0.25,
    }
    assert second.as_json()["valid"] == {"recall@20": 0.07}
    result = TrainingResult(1, 0.07, {}, 2, (first, second), "max_epochs")
    assert result.seconds == {"train": 3.0, "validate": 0.5}
    assert result.cpu_seconds == 5.5
