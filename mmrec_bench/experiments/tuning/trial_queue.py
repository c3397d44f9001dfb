"""The trials of a study in a database: each is taken by one worker, and by another one when that worker dies."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import filelock
import optuna
import psutil
import sqlalchemy.exc
from optuna.distributions import BaseDistribution
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.tuning.trial import Outcome, StorageError, TrialScore

LEASE_SECONDS = 60.0
"""A worker of another machine that has not renewed its trial for so long is taken for dead."""
_OUTCOMES: Mapping[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial whose end counts.

    Attributes:
        number: Its place in the study, from 0.
        drawn: What the sampler drew, by key.
        score: What came of it.
    """

    number: int
    drawn: Mapping[str, Any]
    score: TrialScore


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a study stands.

    Attributes:
        finished: Trials whose end counts, by number.
        running: What living workers try, by number.
    """

    finished: tuple[TrialRecord, ...]
    running: Mapping[int, Mapping[str, Any]]

    def free(self) -> int:
        """Return the least number that nobody has taken."""
        taken = {trial.number for trial in self.finished} | set(self.running)
        return next(number for number in range(len(taken) + 1) if number not in taken)


class TrialQueue:
    """The trials of one study; any number of processes may share it.

    A number is taken by writing a trial that bears it. Where two write the same one, the first keeps it, which the
    order of the database decides, so that no lock is needed. A worker holds its trial by a lease that it renews; on
    its own machine a dead worker is known at once.

    Args:
        storage: Where trials are kept.
        name: Name of the study there.
        pruner: Decides what is hopeless.
    """

    def __init__(self, storage: RDBStorage, name: str, pruner: BasePruner) -> None:
        self._storage = storage
        sampler = optuna.samplers.RandomSampler()  # never asked: what is drawn hangs on the study's seed alone
        with _told(storage.url):
            optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
            self._study = _Counting(name, storage, sampler, pruner)
            self._id = storage.get_study_id_from_name(name)

    def standing(self) -> Standing:
        """Return where the study stands; trials of dead workers are given up, so that their numbers are free again."""
        finished: dict[int, TrialRecord] = {}
        running: dict[int, Mapping[str, Any]] = {}
        with _told(self._storage.url):
            for trial in self._trials():
                number = trial.user_attrs["number"]
                if trial.state.is_finished():
                    record = TrialRecord(number, trial.params, _score_of(trial))
                    finished.setdefault(number, record)
                elif _is_dead(trial):
                    self._lose(trial._trial_id)
                else:
                    running.setdefault(number, trial.params)
        return Standing(tuple(finished[number] for number in sorted(finished)), running)

    def take(
        self, number: int, drawn: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> Lease | None:
        """Take a number, or return None where another worker was faster."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(drawn),
            distributions=dict(distributions),
            user_attrs={"number": number, "worker": _worker(), "lease": time.time() + LEASE_SECONDS},
        )
        with _told(self._storage.url):
            own = self._storage.create_new_trial(self._id, template_trial=template)
            first = min(trial._trial_id for trial in self._trials() if trial.user_attrs["number"] == number)
            if first == own:
                return Lease(self, own)
            self._lose(own)
        return None

    def report(self, trial: int, step: int, score: float) -> bool:
        """Note the score of a validation, and return whether the trial is hopeless.

        So is one that was taken for dead, and given to another worker.
        """
        try:
            with _told(self._storage.url):
                running = Trial(self._study, trial)
                running.report(score, step)
                return running.should_prune()
        except UpdateFinishedTrialError:
            return True

    def renew(self, trial: int) -> None:
        """Prolong a lease."""
        with _told(self._storage.url), suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial, "lease", time.time() + LEASE_SECONDS)

    def finish(self, trial: int, score: TrialScore) -> None:
        """Write what came of a trial; where it was taken for dead, another worker's end counts."""
        facts = {
            "outcome": score.outcome, "seconds": score.seconds, "validations": list(score.validations),
            "message": score.message,
        }  # fmt: skip
        with _told(self._storage.url), suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial, "score", facts)
            values = None if score.score is None else [score.score]
            self._storage.set_trial_state_values(trial, _OUTCOMES[score.outcome], values)

    def give_back(self, trial: int) -> None:
        """Free the number of a trial that was interrupted."""
        with _told(self._storage.url):
            self._lose(trial)

    def _trials(self) -> list[FrozenTrial]:
        """Return all trials but those that were given up."""
        return self._study.get_trials(deepcopy=False)

    def _lose(self, trial: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial, "lost", True)
            self._storage.set_trial_state_values(trial, TrialState.FAIL)


class _Counting(optuna.Study):
    """A study without the trials that were given up, so that pruners, which ask it, do not count them."""

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials whose end counts, or may come to count."""
        return [trial for trial in super().get_trials(deepcopy, states) if "lost" not in trial.user_attrs]


class Lease:
    """A trial that this worker has taken; a context manager that renews it, and gives it back on an interruption.

    Args:
        queue: The queue of the study.
        trial: Number of the trial in the database.
    """

    def __init__(self, queue: TrialQueue, trial: int) -> None:
        self._queue, self.trial = queue, trial
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="trial-lease")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is not None:
            self._queue.give_back(self.trial)

    def hopeless(self, step: int, score: float) -> bool:
        """Note the score of a validation, and return whether to give up."""
        return self._queue.report(self.trial, step, score)

    def finish(self, score: TrialScore) -> None:
        """Write what came of it."""
        self._queue.finish(self.trial, score)

    def _renew(self) -> None:
        while not self._done.wait(LEASE_SECONDS / 4):
            with suppress(ResourceError):  # a database that is away for a moment; the lease lasts longer
                self._queue.renew(self.trial)


def open_storage(url: str | None, file: Path) -> RDBStorage:
    """Open the database of studies: of a URL, or a file of SQLite that is made where it is not there.

    Raises:
        ResourceError: It cannot be reached or read, or another version wrote it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is not None:
        with _told(url):
            return RDBStorage(url)
    where = f"sqlite:///{file.absolute()}"
    with _told(where):
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_suffix(".lock")):  # two processes must not make its tables at once
            return RDBStorage(where, engine_kwargs={"connect_args": {"timeout": 60}})


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Tell errors of the database as ours."""
    try:
        yield
    except UpdateFinishedTrialError:
        raise
    except (OptunaError, sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise StorageError(
            f"the storage of the study, {_without_password(url)}, cannot be used: {reason}. Name a database that can "
            "be reached and written, such as sqlite:////folder/study.sqlite or postgresql://user@host/name, with "
            "--storage"
        ) from error


def _without_password(url: str) -> str:
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return repr(url)


def _score_of(trial: FrozenTrial) -> TrialScore:
    facts = trial.user_attrs["score"]
    score = trial.value if trial.state == TrialState.COMPLETE else None
    return TrialScore(facts["outcome"], score, tuple(facts["validations"]), facts["seconds"], facts["message"])


def _worker() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": process.create_time()}


def _is_dead(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs["worker"]
    if worker["host"] != socket.gethostname():
        return float(trial.user_attrs["lease"]) < time.time()
    try:
        process = psutil.Process(worker["pid"])
        other = abs(process.create_time() - float(worker["started"])) > 1.0  # the number was given to another process
        return other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
