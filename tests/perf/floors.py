"""How near an epoch is to its floors: the products, gathers and optimiser steps that the model cannot do without."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.models.base import GradientRecommender
from mmrec_bench.training.trainer import batch_source
from tests.perf.setup import experiment_of

CPU = torch.device("cpu")
FLOORS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::dot"),
    "gathers": (
        "aten::embedding",
        "aten::embedding_dense_backward",
        "aten::_embedding_bag",
        "aten::_embedding_bag_forward_only",
        "aten::_embedding_bag_dense_backward",
        "aten::index_select",
        "aten::index_add_",
    ),
    "optimiser": ("aten::_fused_adam_",),
}
"""Kernels by kind; products are dense and sparse, both named by torch after the dense operation."""


def floors(model: str, data_dir: Path, *overrides: str, batches: int = 20) -> dict[str, float]:
    """Return seconds an epoch, and seconds of each kind of floor, of the same batches of the same model.

    The epoch is timed without the profiler, batch by batch, and scaled from ``batches`` to all of them; the floors are
    the times of their kernels in the same steps under the profiler.
    """
    experiment, prepared = experiment_of(model, data_dir, *overrides)
    built, context = build_model(experiment, prepared, seed=0, device=CPU)
    config = experiment.config.trainer
    assert config is not None
    assert isinstance(built, GradientRecommender)
    source = batch_source(built, context, config, context.seeds, CPU)
    optimizer = config.make_optimizer(built.parameters())
    built.train()
    built.on_epoch_start(0)
    drawn = [batch for _, batch in zip(range(batches), source.epoch(0), strict=False)]

    def step(number: int) -> None:
        config.step.step(lambda: built.loss(drawn[number]), optimizer, number)

    for number in range(3):
        step(number)
    seconds = []
    for number in range(batches):
        started = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - started)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for number in range(batches):
            step(number)
    totals = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    scale = source.n_batches / batches
    kinds = {kind: scale * sum(totals.get(name, 0.0) for name in names) for kind, names in FLOORS.items()}
    return {"epoch": statistics.median(seconds) * source.n_batches, **kinds}


def print_floors(models: list[str], data_dir: Path) -> None:
    """Print a table of `floors`."""
    print("\n### Epochs and their floors on amazon-baby\n")
    print("| model | epoch, s | products, s | gathers, s | optimiser, s | epoch / floors |")
    print("| :-- | --: | --: | --: | --: | --: |")
    for model in models:
        found = floors(model, data_dir)
        total = sum(found[kind] for kind in FLOORS)
        cells = " | ".join(f"{found[kind]:.2f}" for kind in ("epoch", *FLOORS))
        print(f"| {model} | {cells} | {found['epoch'] / total:.2f} |", flush=True)
