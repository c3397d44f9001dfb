"""Processes that share every batch, against one: what they come to, and how long it takes. See docs/data-parallel.md.

Usage: torchrun --nproc-per-node 2 -m tests.perf.shared_batches [--data-dir DATA]

Without data, differences in tiny worlds are measured. With it, epochs on amazon-baby, too: in turn, the first process
alone and all together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from mmrec_bench.cli.torchrun import joined
from mmrec_bench.experiments.environment import cpu_name, use_threads
from mmrec_bench.experiments.retrieval import build_model
from mmrec_bench.training.records import Validation
from mmrec_bench.training.team import ALONE, Team
from mmrec_bench.training.trainer import train
from tests.perf.setup import Epochs, evaluator_of, experiment_of
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


def print_speed(team: Team, data_dir: Path, rounds: int) -> None:
    """Print seconds an epoch of one process and of all, in turn, and what both come to after the same epochs."""
    if team.rank == 0:
        print(f"\n### amazon-baby on {cpu_name()}, one thread a process, {rounds} rounds\n")
        print(
            "| model | one process, s | together, s | ratio (of each round) | recall@20 of validation: one, together |"
        )
        print("| :-- | --: | --: | :-- | :-- |")
    for name in MODELS:
        alone, both, judged = [], [], {}
        for _ in range(rounds):
            if team.rank == 0:
                seconds, judged["one"] = _epochs(name, data_dir, ALONE)
                alone.append(seconds)
            with team.training(name) if team.rank == 0 else nullcontext(team.announced()):
                seconds, judged["together"] = _epochs(name, data_dir, team)
                both.append(seconds)
        if team.rank == 0:
            ratios = [one / two for one, two in zip(alone, both, strict=True)]
            print(
                f"| {name} | {statistics.median(alone):.2f} | {statistics.median(both):.2f} "
                f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
                f"| {judged['one']:.6f}, {judged['together']:.6f} |",
                flush=True,
            )


def _epochs(name: str, data_dir: Path, team: Team) -> tuple[float, float]:
    """Return the median seconds of two epochs after a first one, and recall@20 on validation."""
    experiment, prepared = experiment_of(name, data_dir)
    model, context = build_model(experiment, prepared, seed=0, device=CPU)
    assert experiment.config.trainer is not None
    config = experiment.config.trainer.model_copy(update={"max_epochs": 3, "validate_every": 3})
    observer = Epochs()
    seeds = context.seeds
    train(model, context, config, lambda _: Validation(0.0, {}), seeds, CPU, None, observer, team=team)
    found = evaluator_of(prepared, CPU, ("recall",)).evaluate(model.export()).means["recall@20"] if not team.rank else 0
    return statistics.median(observer.seconds[1:]), found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    use_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    team = joined(CPU)
    if team.size == 1:
        raise SystemExit("start it with torchrun --nproc-per-node 2 -m tests.perf.shared_batches")
    print_differences(team)
    if given.data_dir is not None:
        print_speed(team, given.data_dir, given.rounds)
    team.close()


if __name__ == "__main__":
    main()
