"""Suites over a tiny world, an observer that keeps what it is told, and what two ways of making runs must share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import Executor, Failure, Outcome, PlannedRun, plan, run_all

from ..conftest import write_config
from ..test_inputs import FUSED, write_features

COST = {"seconds", "cpu_seconds", "energy", "peak_memory_mib", "time", "history.jsonl"}
"""Facts of a manifest that differ from run to run: what was spent, moments, and the digest of a file with seconds."""


class Diary:
    """Writes down what it is told, and passes it on."""

    def __init__(self, told: Callable[[str], None] = lambda line: None) -> None:
        self.lines: list[str] = []
        self._told = told

    def _add(self, line: str) -> None:
        self.lines.append(line)
        self._told(line)

    def on_run(self, planned: PlannedRun, number: int, total: int) -> None:
        self._add(f"run {planned.experiment.label} {planned.key.seed}")

    def on_reused(self, planned: PlannedRun, number: int, total: int) -> None:
        self._add(f"reused {planned.experiment.label} {planned.key.seed}")

    def on_failure(self, failure: Failure) -> None:
        self._add(f"failed {failure.label} {failure.seed}")

    def on_note(self, text: str) -> None:
        self._add(text)


def write_suite(world: Path, *items: str, sets: str = "[trainer.max_epochs=2]", seeds: str = "[0, 1]") -> Path:
    """Write a suite over models of the tiny world: ``name`` or ``{config: name.yaml, ...}``."""
    path = world / "suite.yaml"
    rows = "".join(f"  - {item if item.startswith('{') else f'{{config: {item}.yaml}}'}\n" for item in items)
    path.write_text(
        f"schema_version: 1\ntitle: Tiny\nseeds: {seeds}\nset: {sets}\nexperiments:\n{rows}", encoding="utf-8"
    )
    return path


def write_models(world: Path) -> None:
    """Write experiments: with and without training, on made features, and one that fails."""
    write_config(world, "popularity", trainer="")
    write_config(world, "mf")
    write_config(world, "itemknn", trainer="", extra="retriever: {backend: torch}\n")
    write_features(world)
    write_config(world, "vbpr", extra=FUSED)


def execute(
    suite: Path, settings: RunSettings, executor: Executor | None, diary: Diary, *, reuse_stale: bool = False
) -> Outcome:
    """Make the runs of a suite."""
    planned, failures = plan(load_suite(suite).experiments, Preparer(None), settings.out)
    return run_all(planned, settings, diary, failures=failures, reuse_stale=reuse_stale, executor=executor)


def same(left: Outcome, right: Outcome) -> bool:
    """Return whether two outcomes have the same runs in the same order, bit by bit, and the same failures."""
    assert [label for label, _ in left.runs] == [label for label, _ in right.runs]
    assert left.failures == right.failures
    for (_, one), (_, other) in zip(left.runs, right.runs, strict=True):
        assert one.metrics == other.metrics
        assert facts(one.manifest) == facts(other.manifest)
        assert one.config() == other.config()
        for name in ("model.safetensors", "rankings.parquet", "per_user.parquet"):
            assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    return True


def facts(value: object) -> object:
    """Return facts of a manifest without those that measure cost."""
    if isinstance(value, Mapping):
        return {key: facts(inner) for key, inner in value.items() if key not in COST}
    return [facts(inner) for inner in value] if isinstance(value, list) else value


def last_checkpoint(out: Path) -> int:
    """Return when the last checkpoint was written, in nanoseconds."""
    found = [0]
    with suppress(FileNotFoundError):  # what is removed meanwhile
        found += (path.stat().st_mtime_ns for path in out.rglob("checkpoint.safetensors"))
    return max(found)


def children(mark: str = "mmrec_bench.experiments.executors.worker") -> list[psutil.Process]:
    """Return the processes below this one whose command holds a text; by default, the workers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if mark in " ".join(process.cmdline()):
                found.append(process)
    return found


class Killer:
    """Kills processes when there are some, once for each time that it is started, and until its block ends."""

    def __init__(self, find: Callable[[], Sequence[psutil.Process]]) -> None:
        self.killed: list[int] = []
        self._find, self._ended, self._threads = find, threading.Event(), list[threading.Thread]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def start(self) -> None:
        self._threads.append(threading.Thread(target=self._kill))
        self._threads[-1].start()

    def _kill(self) -> None:
        while not (found := self._find()) and not self._ended.wait(0.005):
            pass
        for process in found:
            with suppress(psutil.Error):
                process.kill()
                self.killed.append(process.pid)
