"""Many runs: what is there is skipped, what fails is said at the end, what was interrupted goes on."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.experiments.artefact import RunArtefact, RunKey
from mmrec_bench.experiments.building import RunLockedError
from mmrec_bench.experiments.folders import State
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.schema.suite import same_as
from mmrec_bench.training.records import Observer
from mmrec_bench.training.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        experiment: What to run.
        prepared: Its data.
        key: Its identity.
        state: What lies in its folder.
        extra: Whether only a knockout asked for it, so that it stands in no table of accuracy.
    """

    experiment: Experiment
    prepared: Prepared
    key: RunKey
    state: State
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A run, or a whole experiment, that failed.

    Attributes:
        label: Row name of the experiment.
        seed: Its seed, or None where the experiment failed before any run.
        message: What went wrong.
        trace: Traceback where the error is not one of ours.
    """

    label: str
    seed: int | None
    message: str
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a suite came to.

    Attributes:
        runs: Finished runs with the label of their row, in the order of the suite.
        failures: What failed.
        reused: How many of the runs, extra ones too, were there already.
        extra: Finished runs that only knockouts asked for.
    """

    runs: tuple[tuple[str, RunArtefact], ...]
    failures: tuple[Failure, ...]
    reused: int
    extra: tuple[tuple[str, RunArtefact], ...] = ()


Result: TypeAlias = tuple[PlannedRun, RunArtefact | Failure, bool]
"""A planned run, what became of it, and whether it was there already."""


class SuiteObserver(Protocol):
    """Is told how a suite goes on."""

    def on_run(self, planned: PlannedRun, number: int, total: int) -> Observer | None:
        """A run starts; the observer returned is told of its epochs."""

    def on_reused(self, planned: PlannedRun, number: int, total: int) -> None:
        """A finished run is reused."""

    def on_failure(self, failure: Failure) -> None:
        """A run failed; the suite goes on."""

    def on_note(self, text: str) -> None:
        """Something to know where several runs go on at once: one has ended, waits, or is tried again."""


class Executor(Protocol):
    """Makes the runs of a plan; the results are the same whoever makes them."""

    def results(
        self, planned: Sequence[PlannedRun], settings: RunSettings, observer: SuiteObserver, reuse_stale: bool
    ) -> Iterable[Result]:
        """Make every run that is not there, and tell what became of each; a failed one does not stop the others."""


def plan(
    experiments: Sequence[Experiment], preparer: Preparer, out: Path, variants: Sequence[Experiment] = ()
) -> tuple[list[PlannedRun], list[Failure]]:
    """Return all runs of the experiments with their states, and the experiments that cannot be run.

    Args:
        experiments: What to run.
        preparer: Prepares their data.
        out: Root of all run folders.
        variants: What knockouts run besides; runs they share with the experiments are made once.
    """
    planned: list[PlannedRun] = []
    failures: list[Failure] = []
    taken: dict[RunKey, str] = {}
    for experiment, extra in (*((item, False) for item in experiments), *((item, True) for item in variants)):
        try:
            prepared = preparer(experiment)
        except Exception as error:
            failures.append(_failure(experiment.label, None, error))
            continue
        for seed in experiment.config.seeds:
            key = run_key(experiment, prepared, seed)
            if key in taken and extra:
                continue
            if key in taken:
                failures.append(Failure(experiment.label, seed, same_as(taken[key])))
                continue
            taken[key] = experiment.label
            planned.append(PlannedRun(experiment, prepared, key, key.state(out), extra))
    return planned, failures


def run_all(
    planned: Sequence[PlannedRun],
    settings: RunSettings,
    observer: SuiteObserver,
    *,
    failures: Sequence[Failure] = (),
    reuse_stale: bool = False,
    executor: Executor | None = None,
) -> Outcome:
    """Make every run that is not there; go on after a failed one.

    Args:
        planned: What to run.
        settings: How.
        observer: Is told how it goes on.
        failures: Failures of planning, reported with the others.
        reuse_stale: Whether runs made by other code count as there.
        executor: Who makes them; this process, one after the other, by default.
    """
    results = list((executor or InProcess()).results(planned, settings, observer, reuse_stale))
    finished = [(item, result) for item, result, _ in results if isinstance(result, RunArtefact)]
    return Outcome(
        tuple((item.experiment.label, result) for item, result in finished if not item.extra),
        (*failures, *(result for _, result, _ in results if isinstance(result, Failure))),
        sum(reused for _, _, reused in results),
        tuple((item.experiment.label, result) for item, result in finished if item.extra),
    )


class InProcess:
    """Makes runs in this process, one after the other (implements `Executor`).

    Args:
        team: Who trains their models, led by this process.
    """

    def __init__(self, team: Team = ALONE) -> None:
        self._team = team

    def results(
        self, planned: Sequence[PlannedRun], settings: RunSettings, observer: SuiteObserver, reuse_stale: bool
    ) -> Iterator[Result]:
        """Make the runs in their order; those that other processes are making come last."""
        total = len(planned)
        locked: list[tuple[int, PlannedRun]] = []
        for number, item in enumerate(planned, start=1):
            state = item.key.state(settings.out)  # again: another process may have made it since the plan
            reused = state == "done" or (state == "stale" and reuse_stale)
            try:
                if reused:
                    artefact = RunArtefact.load(item.key.folder(settings.out))
                    observer.on_reused(item, number, total)
                else:
                    epochs = observer.on_run(item, number, total)
                    artefact = run(item.experiment, item.prepared, item.key, settings, epochs, team=self._team)
            except RunLockedError:
                locked.append((number, item))
            except Exception as error:
                yield item, _failed(item, error, observer), False
            else:
                yield item, artefact, reused
        for number, item in locked:  # somebody else is making these: their result will do
            try:
                epochs = observer.on_run(item, number, total)
                artefact = run(item.experiment, item.prepared, item.key, settings, epochs, wait=True, team=self._team)
            except Exception as error:
                yield item, _failed(item, error, observer), False
            else:
                yield item, artefact, False


def _failed(item: PlannedRun, error: Exception, observer: SuiteObserver) -> Failure:
    failure = _failure(item.experiment.label, item.key.seed, error)
    observer.on_failure(failure)
    return failure


def _failure(label: str, seed: int | None, error: Exception) -> Failure:
    if isinstance(error, MMRecBenchError):
        return Failure(label, seed, str(error))
    return Failure(label, seed, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
