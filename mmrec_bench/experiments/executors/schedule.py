"""Which tasks a plan comes to, which of them can start, and what became of the plan."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact, RunKey
from mmrec_bench.experiments.executors.task import Task, name_of
from mmrec_bench.experiments.features.config import FeaturesConfig
from mmrec_bench.experiments.folders import ArtefactKey
from mmrec_bench.experiments.prepare import Prepared, run_key
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.suite import Failure, PlannedRun, Result, SuiteObserver


class Schedule:
    """The tasks of a plan, each once, whoever needs it; tells an observer how they go on.

    Args:
        planned: The plan.
        settings: How runs are made.
        observer: Is told.
        reuse_stale: Whether runs of other code count as there.
    """

    def __init__(
        self, planned: Sequence[PlannedRun], settings: RunSettings, observer: SuiteObserver, reuse_stale: bool
    ) -> None:
        self._planned, self._out, self._observer = planned, settings.out, observer
        self._numbers = {name_of(item.key): number for number, item in enumerate(planned, start=1)}
        self._there = ("done", "stale") if reuse_stale or settings.reuse_stale else ("done",)
        self._reused: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self.waiting: dict[str, Task] = {}
        self.running: dict[str, Task] = {}
        for number, item in enumerate(planned, start=1):
            state = item.key.state(self._out)
            if state == "done" or (state == "stale" and reuse_stale):
                self._reused.add(name_of(item.key))
                observer.on_reused(item, number, len(planned))
            else:
                self._add_run(item.experiment, item.prepared, item.key)

    @property
    def open(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.waiting or self.running)

    def ready(self) -> list[Task]:
        """Return the waiting tasks whose needs are made, in the order of the plan."""
        unmade = {*self.waiting, *self.running}
        return [task for task in self.waiting.values() if not unmade.intersection(task.needs)]

    def start(self, task: Task, *, again: bool = False) -> None:
        """Note that a task is being made."""
        self.running[task.name] = self.waiting.pop(task.name)
        if again:
            return
        if (number := self._numbers.get(task.name)) is not None:
            self._observer.on_run(self._planned[number - 1], number, len(self._planned))
        else:
            self._observer.on_note(f"{task.label}: made first, for runs that need it")

    def put_back(self, task: Task) -> None:
        """Have a running task wait again, before all others."""
        del self.running[task.name]
        self.waiting = {task.name: task, **self.waiting}

    def put_last(self, task: Task) -> None:
        """Have a running task wait again, after all others."""
        del self.running[task.name]
        self.waiting[task.name] = task

    def end(self, task: Task, note: str = "") -> None:
        """Note that a task is made."""
        del self.running[task.name]
        self._observer.on_note(f"done: {self._told(task)}{note}")

    def fail(self, task: Task, message: str, trace: str | None = None) -> None:
        """Note that a task, and with it whatever needs it, has failed."""
        self.running.pop(task.name, None)
        self.waiting.pop(task.name, None)
        if (number := self._numbers.get(task.name)) is not None:
            item = self._planned[number - 1]
            failure = Failure(item.experiment.label, item.key.seed, message, trace)
            self._failures[task.name] = failure
            self._observer.on_failure(failure)
        for other in [waiting for waiting in self.waiting.values() if task.name in waiting.needs]:
            if other.name in self.waiting:  # else it needs another one, which has just failed, too
                self.fail(other, f"{task.label}, which it needs: {message}", trace)

    def results(self) -> list[Result]:
        """Return what became of each planned run, in the order of the plan."""
        found: list[Result] = []
        for item in self._planned:
            name = name_of(item.key)
            result: RunArtefact | Failure
            if name in self._failures:
                result = self._failures[name]
            else:
                try:
                    result = RunArtefact.load(item.key.folder(self._out))
                except ArtefactError as error:
                    result = Failure(item.experiment.label, item.key.seed, str(error))
            found.append((item, result, name in self._reused))
        return found

    def _told(self, task: Task) -> str:
        number = self._numbers.get(task.name)
        if number is None:
            return task.label
        return f"[{number}/{len(self._planned)}] {task.label}"

    def _add_run(self, experiment: Experiment, prepared: Prepared, key: RunKey) -> None:
        """Have a run wait, and before it what it needs and is not there."""
        if name_of(key) in self.waiting:
            return
        needs: list[ArtefactKey] = []
        if (stage := prepared.first_stage) is not None and stage.folder is None:
            needs.append(stage.key)
            if self._lacks(stage.key):
                self._add_run(stage.experiment, stage.prepared, stage.key)
        if (start := prepared.start) is not None and start.experiment is not None and start.prepared is not None:
            needs.append(first := run_key(start.experiment, start.prepared, key.seed))
            if self._lacks(first):
                self._add_run(start.experiment, start.prepared, first)
        for item in prepared.inputs:
            source = experiment.config.inputs.features[item.name]
            if item.key is not None and isinstance(source, FeaturesConfig):
                needs.append(item.key)
                if self._lacks(item.key):
                    task = Task(item.key, f"features {item.name} ({source.encoder.name})", (), None, prepared, source)
                    self.waiting.setdefault(task.name, task)
        label = f"{experiment.label} on {key.dataset}, seed {key.seed}"
        task = Task(key, label, tuple(name_of(need) for need in needs), experiment, prepared)
        self.waiting[task.name] = task

    def _lacks(self, key: ArtefactKey) -> bool:
        return key.state(self._out) not in self._there
