"""What a task is expected to take: declared, measured before, or estimated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mmrec_bench.experiments.executors.memory import MARGIN, PROCESS_MIB, expected
from mmrec_bench.experiments.executors.schedule import Schedule
from mmrec_bench.experiments.executors.task import Task
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.suite import plan

from .suites import Diary, write_models


def task_of(world: Path, settings: RunSettings, *overrides: str) -> Task:
    planned, failures = plan([load_experiment(world / "mf.yaml", overrides)], Preparer(None), settings.out)
    assert not failures
    (task,) = Schedule(planned, settings, Diary(), False).waiting.values()
    return task


def write_peak(task: Task, settings: RunSettings, seed: int, mib: object) -> None:
    folder = replace(task.key, seed=seed).folder(settings.out)  # type: ignore[type-var]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"peak_memory_mib": mib}))


def test_the_nearest_figure_counts(world: Path, settings: RunSettings) -> None:
    write_models(world)
    task, other = task_of(world, settings), task_of(world, settings, "model.embedding_dim=16")
    guess = expected(task, settings.out)
    assert guess.mib > PROCESS_MIB
    assert guess.source == "estimated from data and settings"
    write_peak(other, settings, 0, 2000.0)
    assert expected(task, settings.out).mib == MARGIN * 2000
    assert expected(task, settings.out).source == "measured with other settings of this model"
    write_peak(task, settings, 3, 600.0)
    write_peak(task, settings, 4, 700.0)
    write_peak(task, settings, 5, "much")
    assert expected(task, settings.out).mib == MARGIN * 700, (
        "of the same settings, the greatest; what is no number is not"
    )
    assert expected(task, settings.out, 50).mib == 50
    assert str(expected(task, settings.out, 5000)) == "5,000 MiB (declared)"


def test_an_estimate_grows_with_what_takes_memory(world: Path, settings: RunSettings) -> None:
    write_models(world)
    small, large = (
        expected(task_of(world, settings, f"model.embedding_dim={dim}"), settings.out).mib for dim in (64, 4096)
    )
    assert large - small == (4096 - 64) * 32 * (40 + 30) / 2**20
