"""A suite that is killed again and again ends with the tables of an unbroken one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmrec_bench.experiments.artefact import find_runs

KILLS = 20
WITHIN_SECONDS = 14.0
"""Kills fall anywhere in as many seconds from the start of a process, the import of its packages among them."""

SUITE = """\
schema_version: 1
title: Killed
seeds: [0, 1]
tuning: {spaces: spaces, trials: 3, sampler: random, pruner: none}
set: [trainer.max_epochs=6, trainer.validate_every=2, trainer.checkpoint_seconds=0]
experiments:
"""
MODELS = {"mf": "model.reg_weight", "lightgcn": "model.reg_weight", "mlp": "trainer.learning_rate"}
MEASURED = ("seconds", "memory")
MEASURED_COLUMNS = {"prepare s", "train s", "validate s", "test s", "peak MiB", "seconds", "area by seconds"}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A tuned suite of two tasks."""
    configs = Path("configs").resolve()
    (tmp_path / "spaces").mkdir()
    for model, key in MODELS.items():
        text = f"schema_version: 1\nmodel: {model}\naxes: {{{key}: {{range: [1.0e-4, 1.0e-2], log: true}}}}\n"
        (tmp_path / "spaces" / f"{model}.yaml").write_text(text, encoding="utf-8")
    names = ("synthetic/popularity", "synthetic/mf", "synthetic/lightgcn", "synthetic-ranking/mlp")
    rows = "".join(f"  - config: {configs / name}.yaml\n" for name in names)
    path = tmp_path / "killed.yaml"
    path.write_text(SUITE + rows, encoding="utf-8")
    return path


def bench(suite: Path, folder: Path, kill_after: float | None = None) -> bool:
    """Run the suite in a process of its own; return whether it came to its end."""
    code = "from mmrec_bench.cli import main; main()"
    places = ["--out", str(folder / "runs"), "--report-dir", str(folder / "reports")]
    command = [sys.executable, "-c", code, "bench", str(suite), *places, "--threads", "1", "--device", "cpu"]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
    assert process.returncode == 0, (folder.parent / f"{folder.name}.log").read_text(encoding="utf-8")
    return True


def results(folder: Path) -> dict[str, Any]:
    """Return all that a suite came to, but for what a clock or the operating system has measured."""
    found: dict[str, Any] = {}
    for run in find_runs([folder / "runs"]):
        name = str(run.folder.relative_to(folder / "runs"))
        files = {key: digest for key, digest in run.manifest["files"].items() if key != "history.jsonl"}  # with seconds
        found[name] = files, run.manifest["training"], len(run.manifest["vault_openings"])
    for path in (folder / "runs" / "tuning").rglob("trials.jsonl"):
        trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        kept = [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]
        found[str(path.relative_to(folder))] = kept
    numbers = pd.read_csv(folder / "reports" / "killed" / "report.csv")
    measured = numbers["metric"].str.contains("|".join(MEASURED))
    found["report.csv"] = numbers[~measured].to_csv(index=False)
    page = (folder / "reports" / "killed" / "report.md").read_text(encoding="utf-8")
    found["report.md"] = without_measured(page.replace(str(folder), "FOLDER"))
    return found


def without_measured(page: str) -> list[list[str]]:
    """Return the lines of a Markdown page, parted at the bars of tables, without columns of measured cost."""
    lines, dropped = [], set[int]()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if not line.startswith("|"):
            dropped = set()
        elif not dropped:
            dropped = {place for place, cell in enumerate(cells) if cell in MEASURED_COLUMNS}
        lines.append([cell for place, cell in enumerate(cells) if place not in dropped])
    return lines


@pytest.mark.slow
def test_a_suite_killed_at_random_moments_ends_as_an_unbroken_one(suite: Path, tmp_path: Path) -> None:
    moments = random.Random(20)
    whole = tmp_path / "whole"
    assert bench(suite, whole)
    expected = results(whole)
    assert len(expected) > 8
    kills, rounds = 0, 0
    while kills < KILLS:
        rounds += 1
        broken = tmp_path / f"broken-{rounds}"
        while kills < KILLS and not bench(suite, broken, moments.uniform(0.5, WITHIN_SECONDS)):
            kills += 1
        assert bench(suite, broken)
        assert results(broken) == expected
        assert not list((broken / "runs" / ".partial").glob("*/")), "nothing half-made is left"
