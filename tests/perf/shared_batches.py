"""Processes that share every batch, against one: what they come to, and how long it takes. See docs/data-parallel.md.

Usage: torchrun --nproc-per-node 2 -m tests.perf.shared_batches [--data-dir DATA]

Without data, differences in tiny worlds are measured. With it, epochs on amazon-baby: in turn, the first process alone
and all together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from mmrec_bench.cli.torchrun import joined
from mmrec_bench.experiments.environment import cpu_name, use_threads
from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.training.records import EpochRecord, SilentObserver, Validation
from mmrec_bench.training.team import ALONE, Team
from mmrec_bench.training.trainer import train
from tests.perf.setup import evaluator_of, experiment_of
from tests.training.shared import TOYS, cases, trained

CPU = torch.device("cpu")
MODELS = ("mf", "lightgcn", "bm3", "mgcn", "alignrec")


def print_differences(team: Team) -> None:
    """Print the largest difference of a parameter, relative to the largest value of its tensor, over the registry."""
    worst: dict[str, tuple[float, str]] = {}
    for name, case in cases():
        if name in TOYS or case.interrupted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            both = trained(case, team, Path(folder))["state"]
            alone = trained(case, ALONE, Path(folder))["state"]
        gaps = {key: _gap(np.array(alone[key]), np.array(both[key])) for key in alone}
        key = max(gaps, key=lambda each: gaps[each])
        worst[name] = gaps[key], key
    if team.rank == 0:
        ordered = sorted(worst.items(), key=lambda item: -item[1][0])
        middle = statistics.median(gap for gap, _ in worst.values())
        print(f"\n### {len(worst)} models and settings, three epochs of gradient steps, {team.size} processes\n")
        print(
            f"largest difference of a number over the largest of its tensor: median {middle:.1e}; the largest five:\n"
        )
        print("| model | difference | parameter |\n| :-- | --: | :-- |")
        for name, (gap, key) in ordered[:5]:
            print(f"| {name} | {gap:.1e} | `{key}` |")


def _gap(alone: np.ndarray, both: np.ndarray) -> float:
    # A tensor of numbers that cancel out, such as a shift of all scores, is compared with 0.1.
    return float(np.abs(alone - both).max(initial=0.0) / max(np.abs(alone).max(initial=0.0), 0.1))


def print_speed(team: Team, data_dir: Path, models: Sequence[str], rounds: int) -> None:
    """Print seconds an epoch of one process and of all, in turn, and what both come to after the same epochs.

    Processor seconds are those of the first process: where nothing waits, an epoch takes as long.
    """
    if team.rank == 0:
        print(f"\n### amazon-baby on {cpu_name()}, one thread a process, {rounds} rounds\n")
        print("| model | one, s (processor) | together, s (processor) | ratio (processor: extremes) | recall@20 |")
        print("| :-- | --: | --: | :-- | :-- |")
    for name in models:
        alone, both, judged = [], [], {}
        for _ in range(rounds):
            if team.rank == 0:
                cost, judged["one"] = _epochs(name, data_dir, ALONE)
                alone.append(cost)
            with team.training(name) if team.rank == 0 else nullcontext(team.announced()):
                cost, judged["together"] = _epochs(name, data_dir, team)
                both.append(cost)
        if team.rank == 0:
            one, two = np.array(alone), np.array(both)
            wall, processor = (one / two).T
            print(
                f"| {name} | {_costs(one)} | {_costs(two)} | {np.median(wall):.2f} ({np.median(processor):.2f}: "
                f"{processor.min():.2f} to {processor.max():.2f}) | {judged['one']:.6f}, {judged['together']:.6f} |",
                flush=True,
            )


def _costs(rounds: np.ndarray) -> str:
    wall, processor = np.median(rounds, axis=0)
    return f"{wall:.2f} ({processor:.2f})"


class Costs(SilentObserver):
    """Notes the time and the processor time at the end of each epoch."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_epoch(self, record: EpochRecord) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def _epochs(name: str, data_dir: Path, team: Team) -> tuple[tuple[float, float], float]:
    """Return seconds and processor seconds of an epoch, the mean of two after a first, and recall@20 on validation."""
    experiment, prepared = experiment_of(name, data_dir)
    model, context = build_model(experiment, prepared, seed=0, device=CPU)
    assert experiment.config.trainer is not None
    config = experiment.config.trainer.model_copy(update={"max_epochs": 3, "validate_every": 3})
    costs, seeds = Costs(), context.seeds
    train(model, context, config, lambda _: Validation(0.0, {}), seeds, CPU, None, costs, team=team)
    found = evaluator_of(prepared, CPU, ("recall",)).evaluate(model.export()).means["recall@20"] if not team.rank else 0
    first, *_, last = costs.ends
    return ((last[0] - first[0]) / 2, (last[1] - first[1]) / 2), found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    use_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    team = joined(CPU)
    if team.size == 1:
        raise SystemExit("start it with torchrun --nproc-per-node 2 -m tests.perf.shared_batches")
    if given.data_dir is None:
        print_differences(team)
    else:
        print_speed(team, given.data_dir, given.models, given.rounds)
    team.close()


if __name__ == "__main__":
    main()
