"""What a suite costs beside its runs: one process from start to end, against the seconds of its run folders.

Usage: python -m tests.perf.suite [SUITE] [--data-dir DATA]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from mmrec_bench.experiments.artefact import find_runs
from tests.perf.setup import run_quietly, seconds

PHASES = ("prepare", "train", "validate", "test")


def print_suite(suite: str, data_dir: Path | None) -> None:
    """Print how long a suite takes, how much of it are its runs, and how long the same command takes again."""
    with tempfile.TemporaryDirectory() as folder:
        whole, again = (_bench(suite, Path(folder), data_dir) for _ in range(2))
        runs = find_runs([Path(folder) / "runs"])
        own = sum(run.manifest["seconds"][phase] for run in runs for phase in PHASES)
    print(f"\n### The suite {Path(suite).stem}, {len(runs)} runs, one thread\n")
    print("| what | s | share of the runs |\n| :-- | --: | --: |")
    print(f"| runs: prepare, train, validate, test | {own:.1f} | 100 % |")
    print(f"| beside them: start, plan, data, audit, writing, report | {whole - own:.1f} | {(whole - own) / own:.1%} |")
    print(f"| the same command again, all runs there | {again:.1f} | {again / own:.1%} |")


def _bench(suite: str, folder: Path, data_dir: Path | None) -> float:
    places = ["--out", str(folder / "runs"), "--report-dir", str(folder / "reports")]
    data = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return seconds(lambda: run_quietly("bench", suite, *places, *data))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", default="configs/suites/quick.yaml")
    parser.add_argument("--data-dir", type=Path, default=None)
    chosen = parser.parse_args()
    print_suite(chosen.suite, chosen.data_dir)
