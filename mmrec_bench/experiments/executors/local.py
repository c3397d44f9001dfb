"""Runs in several processes of this machine, as many at a time as its memory holds."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mmrec_bench.experiments.environment import MIB, PACKAGE_FOLDER
from mmrec_bench.experiments.executors.memory import Expected, expected
from mmrec_bench.experiments.executors.schedule import Schedule
from mmrec_bench.experiments.executors.task import Task, resuming
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.suite import PlannedRun, Result, SuiteObserver
from mmrec_bench.free_memory import available_memory

RETRIES = 2
"""How often a run is tried again whose worker was lost."""

PATIENCE_SECONDS = 5.0
"""How often to look again whether memory has become free."""


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Makes runs in worker processes (implements `Executor`).

    A worker lives on from run to run and reads each data set once. One that is lost, by a signal or for lack of memory,
    is replaced, and its run goes on from its checkpoint. Every run has the threads of the settings, so that its numbers
    are those of a run on its own.

    Args:
        workers: Most processes at a time.
        data_dir: Where data folders lie.
        run_memory_mib: Memory of each run; by default what it was measured or is expected to take.
    """

    workers: int
    data_dir: Path | None
    run_memory_mib: int | None = None

    def results(
        self, planned: Sequence[PlannedRun], settings: RunSettings, observer: SuiteObserver, reuse_stale: bool
    ) -> list[Result]:
        """Make every run that is not there; see `Executor`."""
        schedule = Schedule(planned, settings, observer, reuse_stale)
        if schedule.open:
            work = _Work(self, schedule, settings, observer)
            try:
                while schedule.open:
                    work.start_what_fits()
                    work.hear()
            finally:
                work.stop()
        return schedule.results()


class _Worker:
    """A process, and a thread that listens to it.

    Args:
        heard: Where its answers go; None says that it is lost.
    """

    def __init__(self, heard: queue.Queue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER.parent), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mmrec_bench.experiments.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._heard = heard
        self._listener = threading.Thread(target=self._listen, daemon=True, name="worker")
        self._listener.start()

    def give(self, order: dict[str, Any]) -> None:
        """Hand over an order; if the worker is lost, that is heard."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def used_mib(self) -> float:
        """Return the memory that it holds now."""
        try:
            return float(psutil.Process(self._process.pid).memory_info().rss) / MIB
        except psutil.Error:
            return 0.0

    def lost_by(self) -> str:
        """Return why a lost worker ended."""
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in {item.value for item in signal.Signals} else str(-code)
        often = ", often sent for lack of memory" if name == "SIGKILL" else ""
        return f"signal {name}{often}"

    def kill(self) -> None:
        """End it at once; what it was making can be gone on from."""
        self._process.kill()

    def close(self) -> None:
        """Wait until it has ended, and close what it was heard by."""
        self._process.wait()
        self._listener.join(timeout=1)
        if self._listener.is_alive():  # what it had started holds its output
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                answer = json.loads(line)
            except ValueError:  # cut short by its death
                break
            self._heard.put((self, answer))
        self._heard.put((self, None))


@dataclass(slots=True)
class _Job:
    """A task in the hands of a worker."""

    task: Task
    memory: Expected
    started: float = field(default_factory=time.perf_counter)


class _Work:
    """The state of one call of `LocalExecutor.results`."""

    def __init__(
        self, executor: LocalExecutor, schedule: Schedule, settings: RunSettings, observer: SuiteObserver
    ) -> None:
        self._executor, self._schedule, self._settings, self._observer = executor, schedule, settings, observer
        self._heard: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, _Job] = {}
        self._lost: Counter[str] = Counter()
        self._locked: set[str] = set()
        self._told: set[str] = set()

    def start_what_fits(self) -> None:
        """Start waiting tasks in their order, until workers or memory are used up."""
        for task in self._schedule.ready():
            if len(self._busy) == self._executor.workers:
                return
            wanted = expected(task, self._settings.out, self._executor.run_memory_mib)
            if self._lost[task.name]:  # perhaps for lack of memory
                wanted = Expected(wanted.mib * 2 ** self._lost[task.name], f"{wanted.source}, more as it was lost")
            free = self._free_mib()
            if self._busy and wanted.mib > free:  # with nothing else running, it is tried in any case
                if task.name not in self._told:
                    self._observer.on_note(f"{task.label}: waits for memory, wants {wanted}; {free:,.0f} MiB are free")
                    self._told.add(task.name)
                return
            self._start(task, wanted)

    def hear(self) -> None:
        """Wait for an answer, or until memory may have become free."""
        try:
            worker, answer = self._heard.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            return
        job = self._busy.pop(worker, None)
        if answer is None:
            self._idle = [other for other in self._idle if other is not worker]
            how = worker.lost_by()
            worker.close()
            if job is not None:
                self._retry(job.task, how)
            return
        assert job is not None
        self._idle.append(worker)
        if "done" in answer:
            self._schedule.end(job.task, f" ({time.perf_counter() - job.started:.1f} s)")
        elif "locked" in answer:  # somebody else is making it: its result will do
            self._locked.add(job.task.name)
            self._schedule.put_last(job.task)
        else:
            self._schedule.fail(job.task, answer["error"], answer["trace"])

    def stop(self) -> None:
        """End all workers."""
        workers = (*self._busy, *self._idle)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.close()

    def _start(self, task: Task, wanted: Expected) -> None:
        again = self._lost[task.name] > 0 or task.name in self._locked
        self._schedule.start(task, again=again)
        order = task.order(self._settings)
        if self._lost[task.name]:
            order = resuming(order)
        data_dir = self._executor.data_dir
        order |= {"data_dir": None if data_dir is None else str(data_dir), "wait": task.name in self._locked}
        worker = self._idle.pop() if self._idle else _Worker(self._heard)
        self._busy[worker] = _Job(task, wanted)
        worker.give(order)

    def _retry(self, task: Task, how: str) -> None:
        self._lost[task.name] += 1
        if (times := self._lost[task.name]) > RETRIES:
            self._schedule.fail(
                task,
                f"its worker was lost {times} times, the last time by {how}. Give it more memory, or lower "
                "trainer.batch_size or retriever.memory_mib; it goes on from its checkpoint",
            )
            return
        self._observer.on_note(f"{task.label}: its worker was lost ({how}); try {times + 1} of {RETRIES + 1}")
        self._schedule.put_back(task)

    def _free_mib(self) -> float:
        """Return what is free beside what the running tasks will still want."""
        coming = sum(max(0.0, job.memory.mib - worker.used_mib()) for worker, job in self._busy.items())
        return available_memory() / MIB - coming
