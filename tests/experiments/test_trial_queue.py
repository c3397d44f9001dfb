"""Numbers of trials are taken once, and come free when their worker is gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner, SuccessiveHalvingPruner

from mmrec_bench.experiments.tuning import trial_queue
from mmrec_bench.experiments.tuning.trial import TrialScore
from mmrec_bench.experiments.tuning.trial_queue import Lease, TrialQueue, open_storage

AXES = {"x": FloatDistribution(0.0, 1.0)}
DONE = TrialScore("complete", 0.5, (0.4, 0.5), 1.0)


@pytest.fixture
def queue(tmp_path: Path) -> TrialQueue:
    return TrialQueue(open_storage(None, tmp_path / "study.sqlite"), "study", NopPruner())


def take(queue: TrialQueue, number: int, x: float = 0.5) -> Lease:
    lease = queue.take(number, {"x": x}, AXES)
    assert lease is not None
    return lease


def test_a_number_is_taken_once(queue: TrialQueue, tmp_path: Path) -> None:
    other = TrialQueue(open_storage(None, tmp_path / "study.sqlite"), "study", NopPruner())
    first = take(queue, 0)
    assert other.take(0, {"x": 0.1}, AXES) is None
    assert other.standing().running == {0: {"x": 0.5}}
    assert other.standing().free() == 1
    first.finish(DONE)
    assert other.take(0, {"x": 0.1}, AXES) is None, "a number that has ended is not taken again"
    (trial,) = other.standing().finished
    assert (trial.number, trial.drawn, trial.score) == (0, {"x": 0.5}, DONE)


def test_an_interruption_frees_the_number_at_once(queue: TrialQueue) -> None:
    with pytest.raises(KeyboardInterrupt), take(queue, 0):
        raise KeyboardInterrupt
    assert queue.standing().free() == 0
    assert not queue.standing().running


def test_a_lease_of_another_machine_that_ran_out_frees_the_number(
    queue: TrialQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its worker finds out later is dropped, so that the number counts once."""
    late = take(queue, 0)
    monkeypatch.setattr(trial_queue.socket, "gethostname", lambda: "another")
    assert queue.standing().running, "the lease lasts"
    now = time.time()
    monkeypatch.setattr(trial_queue.time, "time", lambda: now + trial_queue.LEASE_SECONDS + 1)
    assert queue.standing().free() == 0
    take(queue, 0, 0.7).finish(DONE)
    late.finish(TrialScore("complete", 0.9, (0.9,), 1.0))
    (trial,) = queue.standing().finished
    assert (trial.drawn, trial.score.score) == ({"x": 0.7}, 0.5)


def test_a_renewed_lease_lasts(queue: TrialQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = take(queue, 0)
    monkeypatch.setattr(trial_queue.socket, "gethostname", lambda: "another")
    start = time.time()
    monkeypatch.setattr(trial_queue.time, "time", lambda: start + trial_queue.LEASE_SECONDS - 1)
    queue.renew(lease.trial)
    monkeypatch.setattr(trial_queue.time, "time", lambda: start + 1.5 * trial_queue.LEASE_SECONDS)
    assert queue.standing().running


def test_failed_and_pruned_trials_have_no_score(queue: TrialQueue) -> None:
    for number, outcome in enumerate(("failed", "pruned")):
        take(queue, number).finish(TrialScore(outcome, None, (0.1,), 1.0, "why"))
    assert [trial.score.outcome for trial in queue.standing().finished] == ["failed", "pruned"]
    assert [trial.score.score for trial in queue.standing().finished] == [None, None]


def test_trials_that_were_given_up_count_for_no_pruner(tmp_path: Path) -> None:
    """A study that was interrupted prunes as one that was not."""
    scores, found = (0.5, 0.4, 0.6, 0.55, 0.58, 0.59), []
    for name, interrupted in (("unbroken", None), ("broken", 2)):
        storage = open_storage(None, tmp_path / f"{name}.sqlite")
        queue = TrialQueue(storage, "study", SuccessiveHalvingPruner(reduction_factor=2))
        pruned = []
        for number, score in enumerate(scores):
            if number == interrupted:
                with pytest.raises(KeyboardInterrupt), take(queue, number) as lease:
                    lease.hopeless(1, score)
                    raise KeyboardInterrupt
            lease = take(queue, number)
            pruned.append(lease.hopeless(1, score))
            lease.finish(
                TrialScore("pruned" if pruned[-1] else "complete", None if pruned[-1] else score, (score,), 1.0)
            )
        found.append(pruned)
    assert found[0] == found[1]
    assert set(found[0]) == {True, False}


def test_a_worker_whose_trial_was_given_away_gives_up(queue: TrialQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    late = take(queue, 0)
    monkeypatch.setattr(trial_queue.socket, "gethostname", lambda: "another")
    now = time.time()
    monkeypatch.setattr(trial_queue.time, "time", lambda: now + trial_queue.LEASE_SECONDS + 1)
    take(queue, queue.standing().free())
    assert late.hopeless(1, 0.9)
    assert queue.standing().running == {0: {"x": 0.5}}
