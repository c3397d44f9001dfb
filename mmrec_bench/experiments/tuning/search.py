"""Tuning: a study searches by validation, and its winner is an experiment like any other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mmrec_bench.errors import ConfigError, TrainingError
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import code_digest, device_facts, git_state, package_versions
from mmrec_bench.experiments.folders import CONFIG, SCHEMA_VERSION, digest_of
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, with_inputs
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.tuning.sampling import draw, make_pruner
from mmrec_bench.experiments.tuning.space import Space
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.experiments.tuning.study import (
    FILES,
    SPACE,
    TRIALS,
    WINNER,
    Budget,
    Search,
    StudyKey,
    curve_of,
    winner_of,
)
from mmrec_bench.experiments.tuning.trial import TrialScore, try_out
from mmrec_bench.experiments.tuning.trial_queue import Lease, TrialQueue, TrialRecord, open_storage
from mmrec_bench.training.records import Observer

MOST_FAILED = 50
"""A study whose first trials, so many, all fail is given up."""
WAIT_SECONDS = 0.5
"""How often to look whether the trials of other workers have ended."""


class StudyObserver(Protocol):
    """Is told how a study goes on."""

    def on_start(self, n_finished: int) -> None:
        """Trials begin; so many are there already."""

    def on_trial(self, number: int, values: Mapping[str, Any]) -> Observer | None:
        """A trial starts; the observer returned is told of its epochs."""

    def on_score(self, number: int, values: Mapping[str, Any], score: TrialScore) -> None:
        """A trial has ended."""


def with_winners(
    experiments: Sequence[Experiment], spaces: Sequence[Space | None], studies: Mapping[int, StudyArtefact]
) -> tuple[Experiment | None, ...]:
    """Return what is run of experiments after their studies, by row.

    That is the winner of a study, the experiment as it is where there is nothing to tune, and None where its study
    failed.
    """
    chosen = enumerate(zip(experiments, spaces, strict=True))
    return tuple(
        studies[row].winner(one) if row in studies else one if space is None else None for row, (one, space) in chosen
    )


def tune(
    space: Space,
    search: Search,
    budget: Budget,
    preparer: Preparer,
    settings: RunSettings,
    observer: StudyObserver,
    storage: str | None = None,
) -> StudyArtefact:
    """Spend the budget of a study, together with any other process that does the same, and write its folder.

    Args:
        space: What is varied, of which experiment.
        search: How.
        budget: When it ends.
        preparer: Prepares data.
        settings: How runs are made.
        observer: Is told of the trials of this process.
        storage: URL of a database; a file of SQLite beside the folder by default.

    Raises:
        TrainingError: No trial came to an end with a score.
        MMRecBenchError: Whatever else went wrong; trials that have ended are kept.
    """
    experiment = space.experiment
    prepared = preparer(experiment)
    base = run_key(experiment, prepared, search.training_seed)
    key = StudyKey.of(base, space, search, budget)
    state = key.state(settings.out)
    if state != "done" and not (state == "stale" and settings.reuse_stale):
        with_inputs(prepared, search.training_seed, settings, None)  # made before the clock of any trial runs
        queue = TrialQueue(open_storage(storage, key.storage(settings.out)), key.study_name, make_pruner(search.pruner))
        trials = _Worker(key, space, search, preparer, settings, observer).work(budget, queue)
        best = _best(space, trials)
        with write.run_lock(key, settings.out, wait=True):
            if key.state(settings.out) != "done":
                with write.building(key, settings.out, keep=False) as folder:
                    facts = _facts(space, search, budget, key, prepared.fingerprints, settings)
                    weights = [_digest_of(key.weights(settings.out, trial.number)) for trial in trials]
                    _write(folder, space, facts, trials, best, weights)
    return StudyArtefact.load(key.folder(settings.out))


@dataclass(frozen=True, slots=True)
class _Worker:
    """One process that works on a study."""

    key: StudyKey
    space: Space
    search: Search
    preparer: Preparer
    settings: RunSettings
    observer: StudyObserver

    def work(self, budget: Budget, queue: TrialQueue) -> tuple[TrialRecord, ...]:
        """Try until the budget is spent, and return the trials that it pays."""
        distributions = self.space.distributions
        self.observer.on_start(len(queue.standing().finished))
        while True:
            standing = queue.standing()
            _refuse_hopeless(standing.finished)
            paid, number = budget.within(standing.finished), standing.free()
            if budget.spent(paid):
                return paid
            last = number == len(standing.finished) + len(standing.running)  # else a dead worker left a gap
            if last and (number == budget.trials or budget.spent(standing.finished)):
                time.sleep(WAIT_SECONDS)  # others are at the last ones, and may die
                continue
            drawn = draw(self.search, distributions, number, standing.finished, list(standing.running.values()))
            lease = queue.take(number, drawn, distributions)
            if lease is not None:
                with lease:
                    self._try(number, drawn, lease)

    def _try(self, number: int, drawn: Mapping[str, Any], lease: Lease) -> None:
        values = self.space.values(drawn)
        epochs = self.observer.on_trial(number, values)
        started = time.perf_counter()
        try:
            experiment = self.space.at(values)
        except ConfigError as error:
            score = TrialScore("failed", None, (), time.perf_counter() - started, str(error))
        else:
            weights, seed = self.key.weights(self.settings.out, number), self.search.training_seed
            score = try_out(experiment, self.preparer, seed, self.settings, lease.hopeless, epochs, weights)
        lease.finish(score)
        self.observer.on_score(number, values, score)


def _refuse_hopeless(finished: Sequence[TrialRecord]) -> None:
    """Refuse to go on where no trial of many could even be trained: a budget of seconds alone would never end."""
    if len(finished) >= MOST_FAILED and all(trial.score.outcome == "failed" for trial in finished):
        raise TrainingError(
            f"all of the first {len(finished)} trials failed, the last one so: {finished[-1].score.message}. Change "
            "the search space or the experiment"
        )


def _facts(
    space: Space,
    search: Search,
    budget: Budget,
    key: StudyKey,
    fingerprints: Mapping[str, str],
    settings: RunSettings,
) -> dict[str, Any]:
    """Return what the manifest says of a study beside its trials."""
    config = space.experiment.config
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "study",
        "task": config.entry.task,
        "dataset": key.dataset,
        "model": config.label,
        "fingerprints": {
            "study": key.fingerprint,
            "trials": key.trials_fingerprint,
            **fingerprints,
            "code": code_digest(),
        },
        "git": git_state(),
        "packages": package_versions(),
        "device": device_facts(settings.device),
        "threads": settings.threads,
        "protocol_id": config.protocol.id,
        "select_by": config.protocol.select_by,
        "axes": space.config.model_dump(mode="json")["axes"],
        "search": {**asdict(search), "training_seed": search.training_seed},
        "budget": asdict(budget),
        "vault_openings": [],
    }


def _best(space: Space, trials: Sequence[TrialRecord]) -> TrialRecord:
    """Return the winner.

    Raises:
        TrainingError: No trial came to an end with a score.
    """
    if (best := winner_of(trials)) is not None:
        return best
    reasons = "; ".join(dict.fromkeys(trial.score.message or trial.score.outcome for trial in trials))
    raise TrainingError(
        f"no trial of the study of {space.experiment.source} came to an end with a score: {reasons[:500]}. "
        "Narrow the search space, or spend more"
    )


def _write(
    folder: Path,
    space: Space,
    facts: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    best: TrialRecord,
    weights: Sequence[str | None],
) -> None:
    """Write the files of a study."""
    config, curve = space.experiment.config, curve_of(trials)
    winner = space.at(space.values(best.drawn))
    write.write_config(folder / CONFIG, config.model_dump(mode="json"), "the experiment that was tuned")
    write.write_config(folder / SPACE, space.config.model_dump(mode="json", exclude_none=True), "its search space")
    write.write_config(folder / WINNER, winner.config.model_dump(mode="json"), f"mmrec-bench run {WINNER}")
    lines = [
        {
            "trial": trial.number,
            "values": space.values(trial.drawn),
            **asdict(trial.score),
            "best_so_far": so_far,
            "weights": digest,
        }
        for trial, so_far, digest in zip(trials, curve.best, weights, strict=True)
    ]
    write.write_history(folder / TRIALS, lines)
    outcomes = [trial.score.outcome for trial in trials]
    write.write_manifest(
        folder,
        {
            **facts,
            "spent": {
                "trials": len(trials),
                "seconds": sum(trial.score.seconds for trial in trials),
                **{outcome: outcomes.count(outcome) for outcome in ("complete", "pruned", "failed")},
            },
            "best": {"trial": best.number, "score": best.score.score, "values": space.values(best.drawn)},
            "curve": {"area_by_trials": curve.area_by_trials, "area_by_seconds": curve.area_by_seconds},
        },
        FILES,
    )


def _digest_of(weights: Path) -> str | None:
    """Return the digest of a trial's weights; None of one without, or whose worker kept them elsewhere."""
    return digest_of(weights) if weights.is_file() else None
