"""CUDA paths and their timings, where there is a GPU; says so where not. Run by `make gpu-check`.

First the tests marked `gpu` (CPU and GPU agree), then seconds an epoch of every retrieval model that is trained in
steps, and of exact retrieval by both back-ends, on the synthetic world made large, so that no data is needed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.retrieval.base import Exclusions, Representations, tie_ranks
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from tests.perf.setup import GRADIENT_MODELS, epoch_seconds, median_seconds


def retrieval(device: torch.device, n_users: int = 50_000, n_items: int = 100_000, dim: int = 64) -> None:
    """Print seconds of exact top-50 by both back-ends on the CPU and on the GPU."""
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(n_users, dim, generator=generator), torch.randn(n_items, dim, generator=generator)
    ties = tie_ranks(np.arange(n_items).astype(np.str_), seed=0)
    print(f"\n| back-end | device | {n_users:,} users x {n_items:,} items, top 50, s | served by |")
    print("| :-- | :-- | --: | :-- |")
    for backend in ("faiss", "torch"):
        for place in (torch.device("cpu"), device):
            retriever = build_retriever(RetrieverConfig.model_validate({"backend": backend}), place)
            scoring = Representations(users.to(place), items.to(place))
            rows = np.arange(n_users)

            def rank(retriever=retriever, scoring=scoring, rows=rows):  # type: ignore[no-untyped-def]
                return retriever.top_k(scoring, rows, 50, Exclusions.none(n_users), ties)

            took = median_seconds(rank, 3)
            print(f"| {backend} | {place.type} | {took:.3f} | {dict(rank().served)} |")


def epochs(device: torch.device) -> None:
    """Print seconds an epoch of every gradient model on the CPU and on the GPU."""
    print("\n| model | CPU epoch, s | GPU epoch, s |\n| :-- | --: | --: |")
    for name in GRADIENT_MODELS:
        experiment = load_experiment(f"synthetic/{name}")
        prepared = Preparer(None)(experiment)
        cells = [
            statistics.median(epoch_seconds(experiment, prepared, place, 4)) for place in (torch.device("cpu"), device)
        ]
        print(f"| {name} | {cells[0]:.3f} | {cells[1]:.3f} |")


def main() -> None:
    """Check and time the GPU, or say that there is none."""
    if not torch.cuda.is_available():
        print("gpu-check: torch finds no CUDA device here, so nothing was checked")
        return
    use_threads()
    print(f"gpu-check on {torch.cuda.get_device_name()}")
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(tests)], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    device = torch.device("cuda")
    epochs(device)
    retrieval(device)


if __name__ == "__main__":
    main()
