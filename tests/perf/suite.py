"""What a suite costs beside its runs: one process from start to end, and what of it is what.

Usage: python -m tests.perf.suite SUITE [--data-dir DATA]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = {
    "making runs": "runs and probes, each from start to folder",
    "between": "the runner: between the runs",
    "planning": "planning: data, splits, fingerprints, states",
    "reporting": "report: tables, plots, cards, files",
    "start": "start of the process, and all else",
}


def print_suite(suite: str, data_dir: Path | None) -> None:
    """Print the parts of a suite's time, and how long the same command takes when all is there."""
    with tempfile.TemporaryDirectory() as folder:
        parts, again = (_bench(suite, Path(folder), data_dir) for _ in range(2))
    own = parts["making runs"]
    print(f"\n### The suite {Path(suite).stem}, {parts['runs']:.0f} runs and probes, one thread\n")
    print("| what | s | share of the runs |\n| :-- | --: | --: |")
    for name, told in PARTS.items():
        print(f"| {told} | {parts[name]:.2f} | {parts[name] / own:.2%} |")
    whole = sum(again[name] for name in PARTS)
    print(f"| the same command again, all runs there | {whole:.2f} | {whole / own:.2%} |")


def _bench(suite: str, folder: Path, data_dir: Path | None) -> dict[str, float]:
    """Run ``bench`` in a process of its own, in which the parts are timed."""
    places = ["--out", str(folder / "runs"), "--report-dir", str(folder / "reports"), "--threads", "1"]
    data = [] if data_dir is None else ["--data-dir", str(data_dir)]
    log, started = folder / "times.json", time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tests.perf.suite", "--timed", str(log), "bench", suite, *places, *data],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    whole = time.perf_counter() - started
    parts: dict[str, float] = json.loads(log.read_text(encoding="utf-8"))
    parts["between"] = parts.pop("running") - parts["runs alone"]
    parts["start"] = whole - sum(parts[name] for name in PARTS if name != "start")
    return parts


def _timed(log: Path, arguments: list[str]) -> None:
    """Run a command of ours, with the calls of its parts timed."""
    modules = ("mmrec_bench.cli.app", "mmrec_bench.cli.running", "mmrec_bench.experiments.suite")
    loaded: list[Any] = [importlib.import_module(name) for name in modules]
    app, running, suite = loaded
    times = dict.fromkeys(("making runs", "runs alone", "running", "planning", "reporting", "runs"), 0.0)

    def timed(call: Callable[..., Any], *names: str, counts: bool = False) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                for name in names:
                    times[name] += time.perf_counter() - started
                times["runs"] += counts

        return wrapped

    suite.run = timed(suite.run, "making runs", "runs alone", counts=True)
    app.lis.measured = timed(app.lis.measured, "making runs", counts=True)
    running.run_all = timed(running.run_all, "running")
    running.plan = timed(running.plan, "planning")
    app.make_report, app.write_report = timed(app.make_report, "reporting"), timed(app.write_report, "reporting")
    sys.argv = ["mmrec-bench", *arguments]
    try:
        app.main()
    finally:
        log.write_text(json.dumps(times), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        _timed(Path(sys.argv[2]), sys.argv[3:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("suite")
        parser.add_argument("--data-dir", type=Path, default=None)
        chosen = parser.parse_args()
        print_suite(chosen.suite, chosen.data_dir)
