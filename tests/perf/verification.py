"""Seconds and memory of verifying a large submission: 20,000 users, lists of 50, five seeds, both held-out parts.

Usage: python -m tests.perf.measure --only verification
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mmrec_bench.experiments.environment import MIB
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.leaderboard.pack import pack
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.verify import Verification
from tests.leaderboard.packed import CODE, small_world

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 20000, n_items: 8000, mean_interactions: 12.0, min_interactions: 6, max_interactions: 60}\n"
)
EXPERIMENT = (
    "schema_version: 1\ndataset: {card: small}\n"
    "protocol: {split: random-811, cutoffs: [5, 10, 20, 50], select_by: recall@20}\n"
    "model: {name: mf, embedding_dim: 8}\ntrainer: {max_epochs: 1, batch_size: 16384}\nseeds: [0, 1, 2, 3, 4]\n"
)
CHILD = "from tests.perf.verification import verify; verify({folder!r})"


def print_verification() -> None:
    """Make the submission, verify it in a process of its own, and print what that took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder)
        lists = sum(path.stat().st_size for path in folder.rglob("lists/*.parquet"))
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(folder=name)], capture_output=True, text=True, check=True
        )
        wall = time.perf_counter() - started
    print(f"20,000 users x 50 x 5 seeds, both parts, {lists / MIB:.0f} MiB of lists")
    print(done.stdout.strip())
    print(f"whole process: {wall:.1f} s by the clock, imports and the making of the world included")


def verify(name: str) -> None:
    """Verify the submission below a folder and print seconds and peak memory."""
    folder = Path(name)
    with small_world(folder, WORLD):
        verification = Verification(None, tracks={"large": _track(folder)})
        started, processor = time.perf_counter(), time.process_time()
        verification.judge_of(verification.tracks["large"])
        data, data_processor = time.perf_counter() - started, time.process_time() - processor
        started, processor = time.perf_counter(), time.process_time()
        verified = verification(folder / "submissions" / "large" / "mf")
        took, took_processor = time.perf_counter() - started, time.process_time() - processor
    assert not verified.refused, verified.checks
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"data: {data:.1f} s by the clock, {data_processor:.1f} s of processors")
    print(f"verification: {took:.1f} s by the clock, {took_processor:.1f} s of processors; peak memory {peak:,.0f} MiB")


def _make(folder: Path) -> None:
    with small_world(folder, WORLD):
        path = folder / "mf.yaml"
        path.write_text(EXPERIMENT, encoding="utf-8")
        experiment = load_experiment(path)
        prepared = Preparer(None)(experiment)
        settings = RunSettings(folder / "runs", torch.device("cpu"), torch.get_num_threads())
        made = [run(experiment, prepared, run_key(experiment, prepared, n), settings) for n in experiment.config.seeds]
        pack(made, _track(folder), "mf", ["A. Author"], folder / "submissions", code=CODE)


def _track(folder: Path) -> Track:
    experiment = load_experiment(folder / "mf.yaml")
    return Track.model_validate(
        {
            "schema_version": 1,
            "name": "large",
            "title": "Large",
            "task": "retrieval",
            "dataset": {"card": "small", "shipped": True},
            "protocol": experiment.config.protocol.model_dump(mode="json"),
            "headline": ["recall@20", "ndcg@20", "recall@10", "ndcg@10"],
            "depth": 50,
            "lists_in_git": False,
        }
    )
