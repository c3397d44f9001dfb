"""Several processes make what one makes, and lose nothing when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import filelock
import psutil
import pytest

from mmrec_bench.experiments.executors import local
from mmrec_bench.experiments.executors.local import LocalExecutor
from mmrec_bench.experiments.executors.schedule import Schedule
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan

from .suites import Diary, Killer, children, execute, last_checkpoint, same, write_models, write_suite


@pytest.fixture
def models(world: Path) -> Path:
    write_models(world)
    return world


def alone(settings: RunSettings) -> RunSettings:
    return replace(settings, out=settings.out.with_name("alone"))


def test_two_workers_make_what_one_process_makes(models: Path, settings: RunSettings) -> None:
    """Runs on made features, one that fails with our error, and one whose plan fails."""
    suite = write_suite(
        models,
        "popularity",
        "mf",
        "vbpr",
        "{config: mf.yaml, label: diverges, set: [trainer.learning_rate=1e30]}",
        "{config: mf.yaml, label: no-data, set: [dataset.card=missing.yaml]}",
    )
    (models / "missing.yaml").write_text("schema_version: 1\nname: missing\nformat: mmrec\ninteractions: no.inter\n")
    diary = Diary()
    done = execute(suite, settings, LocalExecutor(2, None), diary)
    assert len(done.runs) == 5
    assert [(item.label, item.seed, item.trace) for item in done.failures] == [
        ("no-data", None, None), ("diverges", 0, None), ("diverges", 1, None),
    ]  # fmt: skip
    assert same(done, execute(suite, alone(settings), None, Diary()))
    assert sum(line.startswith("features fused") for line in diary.lines) == 1, "made once, for both seeds"
    again = Diary()
    assert execute(suite, settings, LocalExecutor(2, None), again).reused == 5
    assert sum(line.startswith("reused") for line in again.lines) == 5
    assert not children(), "no worker is left behind"


def test_a_killed_worker_is_replaced_and_its_run_goes_on(models: Path, settings: RunSettings) -> None:
    """Killed once its checkpoint is there: the second worker need not start over, and ends bit-identical."""
    sets = "[trainer.max_epochs=100, trainer.patience=1000, trainer.checkpoint_seconds=0]"
    suite = write_suite(models, "mf", sets=sets, seeds="[0]")
    with Killer(lambda: children() if last_checkpoint(settings.out) else []) as killer:
        diary = Diary(lambda line: killer.start() if line == "run mf 0" else None)
        done = execute(suite, settings, LocalExecutor(2, None), diary)
    assert any("was lost (signal SIGKILL" in line and "try 2 of 3" in line for line in diary.lines)
    assert diary.lines.count("run mf 0") == 1, "announced once"
    assert same(done, execute(suite, alone(settings), None, Diary()))


def test_a_run_whose_workers_always_die_fails_and_the_others_do_not(models: Path, settings: RunSettings) -> None:
    """Of the two workers one is used, for each run wants more memory than there is: the other run waits."""
    suite = write_suite(models, "mf", "popularity", seeds="[0]")

    def announced(line: str) -> None:
        if line == "run mf 0" or line.startswith("mf on tiny, seed 0: its worker was lost"):
            killer.start()  # the worker is started after it is announced

    diary = Diary(announced)
    executor = LocalExecutor(2, None, run_memory_mib=10**9)  # more than there is: one at a time, in order
    with Killer(children) as killer:
        done = execute(suite, settings, executor, diary)
    assert [label for label, _ in done.runs] == ["popularity"]
    (failure,) = done.failures
    assert (failure.label, failure.seed) == ("mf", 0)
    assert f"lost {local.RETRIES + 1} times" in failure.message
    assert "SIGKILL" in failure.message
    waits = [line for line in diary.lines if line.startswith("popularity on tiny, seed 0: waits for memory")]
    assert len(waits) == 1, "said once"
    assert "wants 1,000,000,000 MiB (declared)" in waits[0]
    assert diary.lines.index("run popularity 0") > diary.lines.index("failed mf 0")


def test_a_run_that_another_process_makes_is_waited_for(models: Path, settings: RunSettings) -> None:
    """Last, when nothing else is left to be done, and without being announced twice."""
    suite = write_suite(models, "popularity", "itemknn", seeds="[0]")
    planned, _ = plan(load_suite(suite).experiments, Preparer(None), settings.out)
    partial = planned[0].key.partial(settings.out)
    partial.parent.mkdir(parents=True)
    lock = filelock.FileLock(partial.with_name(partial.name + ".lock"), thread_local=False)
    lock.acquire()
    diary = Diary(lambda line: lock.release() if line.startswith("done: [2/2] itemknn") else None)
    done = execute(suite, settings, LocalExecutor(2, None), diary)
    assert [label for label, _ in done.runs] == ["popularity", "itemknn"]
    assert diary.lines.count("run popularity 0") == 1
    assert diary.lines[-1].startswith("done: [1/2] popularity")


def test_what_needs_a_failed_run_fails_with_its_reason(models: Path, settings: RunSettings) -> None:
    (models / "ica.yaml").write_text((models / "ica.yaml").read_text().replace("max_epochs: 5", "learning_rate: 1e30"))
    suite = write_suite(models, "vbpr", seeds="[0, 1]")
    done = execute(suite, settings, LocalExecutor(2, None), Diary())
    assert [(item.label, item.seed) for item in done.failures] == [("vbpr", 0), ("vbpr", 1)]
    assert all(item.message.startswith("features fused (ica), which it needs: ") for item in done.failures)


def test_what_needs_a_failed_run_in_two_ways_fails_once(settings: RunSettings) -> None:
    features, stage, ranker = (
        SimpleNamespace(name=name, label=name, needs=needs)
        for name, needs in (("fused", ()), ("stage", ("fused",)), ("ranker", ("fused", "stage")))
    )
    diary = Diary()
    schedule = Schedule([], settings, diary, reuse_stale=False)
    item = SimpleNamespace(experiment=SimpleNamespace(label="ranker"), key=SimpleNamespace(seed=0))
    schedule._numbers, schedule._planned = {"ranker": 1}, [item]  # type: ignore[list-item]
    schedule.waiting = {task.name: task for task in (features, stage, ranker)}  # type: ignore[misc]
    schedule.fail(features, "broken")  # type: ignore[arg-type]
    assert not schedule.waiting
    assert diary.lines.count("failed ranker 0") == 1


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(models: Path, settings: RunSettings) -> None:
    """Ctrl-C and kill -9 of `bench`: nothing goes on, and the same command finishes with the same tables."""
    sets = "[trainer.max_epochs=60, trainer.patience=1000, trainer.checkpoint_seconds=0]"
    suite = write_suite(models, "mf", sets=sets)
    code = "from mmrec_bench.cli import main; main()"
    options = ["--out", str(settings.out), "--report-dir", str(models / "reports"), "--threads", "1", "--device", "cpu"]
    command = [sys.executable, "-c", code, "bench", str(suite), *options, "--workers", "2"]
    for stop in (signal.SIGINT, signal.SIGKILL):
        before = last_checkpoint(settings.out)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and last_checkpoint(settings.out) == before:
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, stop)
        _, told = process.communicate(timeout=60)
        assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), told
        assert workers
        assert not psutil.wait_procs(workers, timeout=10)[1]
    assert list(settings.out.rglob("checkpoint.safetensors"))
    resuming = replace(settings, resume=True, threads=1)
    done = execute(suite, resuming, LocalExecutor(2, None), Diary())
    assert same(done, execute(suite, replace(alone(settings), threads=1), None, Diary()))
