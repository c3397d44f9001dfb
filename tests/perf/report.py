"""Seconds of a report over 200 made-up runs: 40 rows of five seeds, 20,000 users, as many metrics as a run has.

Usage: python -m tests.perf.report [ROWS SEEDS USERS]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_bench.experiments.artefact import FILES, METRICS, PER_USER, RunArtefact, find_runs
from mmrec_bench.experiments.building import write_manifest
from mmrec_bench.experiments.folders import MANIFEST, read_json
from mmrec_bench.reports.report import Report, make_report
from tests.perf.setup import run_quietly, seconds

ROWS, SEEDS, USERS = 40, 5, 20_000


def print_report(n_rows: int = ROWS, n_seeds: int = SEEDS, n_users: int = USERS) -> None:
    """Print how long it takes to read runs, to make tables of them, to draw plots, and to write all."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _make(root / "one", root / "runs", n_rows, n_seeds, n_users)
        found: list[tuple[str | None, RunArtefact]] = []
        made: list[Report] = []
        steps = {
            "reading the folders, and checking that they are what was written": lambda: found.extend(
                (None, run) for run in find_runs([root / "runs"])
            ),
            "tables, intervals and marks": lambda: make_report("T", "c", found),
            "the same with plots": lambda: made.append(make_report("T", "c", found, draw=True)),
            "writing page, Markdown, LaTeX, CSV and pictures": lambda: made[0].write(root / "report"),
        }
        took = {name: _wall_and_processor(step) for name, step in steps.items()}
        size = (root / "report" / "report.html").stat().st_size / 2**20
    print(f"\n### A report over {n_rows * n_seeds} runs: {n_rows} rows, {n_seeds} seeds, {n_users:,} users\n")
    print("| what | s | processor seconds |\n| :-- | --: | --: |")
    for name, (wall, processor) in took.items():
        print(f"| {name} | {wall:.1f} | {processor:.1f} |")
    read, _, drawn, written = took.values()
    wall, processor = (sum(pair) for pair in zip(read, drawn, written, strict=True))
    print(f"| all, with plots | {wall:.1f} | {processor:.1f} |")
    print(f"\nThe page has {size:.1f} MiB.")


def _wall_and_processor(step: Callable[[], object]) -> tuple[float, float]:
    started = time.process_time()
    return seconds(step), time.process_time() - started


def _make(one: Path, root: Path, n_rows: int, n_seeds: int, n_users: int) -> None:
    """Make one short run, and copies of it with scores of their own."""
    run_quietly("run", "synthetic/mf", "--set", "trainer.max_epochs=5", "--seed", "0", "--out", str(one))
    (run,) = find_runs([one])
    names = [name for name in run.metrics["test"] if name in run.per_user()]
    users, rng = np.array([f"user-{number}" for number in range(n_users)]), np.random.default_rng(0)
    easy = rng.random(n_users)
    for row in range(n_rows):
        for seed in range(n_seeds):
            folder = root / "synthetic" / f"model-{row}" / "f" / f"seed-{seed}"
            shutil.copytree(run.folder, folder)
            scores = np.clip(easy + rng.normal(0.002 * row, 0.1, n_users), 0, 1)
            parts = [
                pd.DataFrame({"part": part, "user_id": users, "n_truth": 1, **dict.fromkeys(names, scores)})
                for part in ("valid", "test")
            ]
            pd.concat(parts).to_parquet(folder / PER_USER, index=False)
            mean = float(scores.mean())
            metrics = {**read_json(folder / METRICS)}
            metrics |= {part: {**metrics[part], **dict.fromkeys(names, mean)} for part in ("valid", "test")}
            (folder / METRICS).write_text(json.dumps(metrics), encoding="utf-8")
            facts = read_json(folder / MANIFEST)
            prints = {**facts["fingerprints"], "config": f"{row:016x}"}
            write_manifest(folder, {**facts, "seed": seed, "model": f"model-{row}", "fingerprints": prints}, FILES)


if __name__ == "__main__":
    print_report(*map(int, sys.argv[1:]))
