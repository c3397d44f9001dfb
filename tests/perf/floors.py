"""How near an epoch is to its floors: the products, gathers and optimiser steps that the model cannot do without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.models.base import GradientRecommender
from mmrec_bench.training.trainer import batch_source
from tests.perf.setup import experiment_of

CPU = torch.device("cpu")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::dot")
"""Kernels of products, dense and sparse: torch names both after the dense operation."""
KERNELS = {
    **dict.fromkeys(PRODUCTS, "dense"),
    **dict.fromkeys(
        (
            "aten::embedding",
            "aten::embedding_dense_backward",
            "aten::_embedding_bag",
            "aten::_embedding_bag_forward_only",
            "aten::_embedding_bag_dense_backward",
            "aten::index_select",
            "aten::index_add_",
        ),
        "gathers",
    ),
    "aten::_fused_adam_": "optimiser",
}
"""Kind of floor by kernel."""
FLOORS = ("propagation", "dense", "gathers", "optimiser")


def kind_of(kernel: str, shapes: Sequence[Sequence[int]], n_nodes: int) -> str | None:
    """Return the kind of floor that a kernel belongs to, None where it is none.

    Args:
        kernel: Its name.
        shapes: Shapes of its inputs.
        n_nodes: Users or items, whichever are fewer. A product by a matrix with that many rows and columns is one by a
            graph: no dense matrix of a model has so many of both.
    """
    if kernel in PRODUCTS and any(len(shape) == 2 and min(shape) >= n_nodes for shape in shapes):
        return "propagation"
    return KERNELS.get(kernel)


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
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for number in range(batches):
            step(number)
    found = dict.fromkeys(FLOORS, 0.0)
    n_nodes = min(context.train.n_users, context.train.n_items)
    for event in profiler.key_averages(group_by_input_shape=True):
        if (kind := kind_of(event.key, event.input_shapes, n_nodes)) is not None:
            found[kind] += event.self_cpu_time_total / 1e6 * source.n_batches / batches
    return {"epoch": statistics.median(seconds) * source.n_batches, **found}


def print_floors(models: list[str], data_dir: Path) -> None:
    """Print a table of `floors`."""
    print("\n### Epochs and their floors on amazon-baby\n")
    columns = ("epoch, s", "propagation, s", "dense products, s", "gathers, s", "optimiser, s")
    print(f"| model | {' | '.join(columns)} | epoch / floors | propagation / epoch |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: |")
    for model in models:
        found = floors(model, data_dir)
        total = sum(found[kind] for kind in FLOORS)
        cells = " | ".join(f"{found[kind]:.2f}" for kind in ("epoch", *FLOORS))
        share = f"{100 * found['propagation'] / found['epoch']:.0f} %"
        print(f"| {model} | {cells} | {found['epoch'] / total:.2f} | {share} |", flush=True)
