"""What the measurements share: amazon-baby in memory, models as their YAML builds them, medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.experiments.prepare import Prepared, Preparer
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.models.base import Recommender
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.training.records import EpochRecord, SilentObserver, Validation
from mmrec_bench.training.trainer import train

GRADIENT_MODELS = (
    "mf",
    "lightgcn",
    "layergcn",
    "selfcf",
    "directau",
    "simgcl",
    "vbpr",
    "bm3",
    "freedom",
    "mgcn",
    "lattice",
    "lgmrec",
    "dragon",
    "mmgcf",
    "mmgcn",
    "grcn",
    "mvgae",
    "dualgnn",
    "slmrec",
    "smore",
    "pgl",
    "pgl-global",
    "da-mrs",
    "alignrec",
    "dream",
    "motor-lightgcn",
    "motor-freedom",
)
"""Names of their configs in ``configs/amazon-baby``."""


def seconds(call: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median of several timed calls after one that is not counted."""
    call()
    return statistics.median(seconds(call) for _ in range(repeats))


def experiment_of(model: str, data_dir: Path, *overrides: str) -> tuple[Experiment, Prepared]:
    """Return amazon-baby's experiment of a model, released switches, with its data."""
    experiment = load_experiment(f"amazon-baby/{model}", overrides)
    return experiment, Preparer(data_dir)(experiment)


class Epochs(SilentObserver):
    """Collects the seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch(self, record: EpochRecord) -> None:
        self.seconds.append(record.train_seconds)


def epoch_seconds(experiment: Experiment, prepared: Prepared, device: torch.device, epochs: int) -> list[float]:
    """Train some epochs through the trainer itself and return the seconds of each but the first."""
    model, context = build_model(experiment, prepared, seed=0, device=device)
    config = experiment.config.trainer
    assert config is not None
    config = config.model_copy(update={"max_epochs": epochs + 1, "validate_every": epochs + 1})
    observer = Epochs()
    train(model, context, config, lambda _: Validation(0.0, {}), context.seeds, device, None, observer)
    return observer.seconds[1:]


def evaluator_of(
    prepared: Prepared, device: torch.device, metrics: Sequence[str], backend: str = "faiss"
) -> RetrievalEvaluator:
    """Return an evaluator of the validation part at the field's cutoffs."""
    return RetrievalEvaluator(
        train=prepared.split.train,
        truth=prepared.split.valid,
        excluded=[prepared.split.train],
        retriever=build_retriever(RetrieverConfig.model_validate({"backend": backend}), device),
        ties=prepared.ties,
        metrics=metrics,
        cutoffs=(5, 10, 20, 50),
        present={name: table.present for name, table in prepared.dataset.features.items()},
    )


def trained(experiment: Experiment, prepared: Prepared, device: torch.device, epochs: int) -> Recommender:
    """Return a model after some epochs, so that its scores look like a model's."""
    model, context = build_model(experiment, prepared, seed=0, device=device)
    config = experiment.config.trainer
    assert config is not None
    config = config.model_copy(update={"max_epochs": epochs, "validate_every": epochs})
    train(model, context, config, lambda _: Validation(0.0, {}), context.seeds, device)
    return model


def run_quietly(*arguments: str) -> None:
    """Run a command of the command line in a process of its own, on one thread."""
    code = "from mmrec_bench.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, *arguments, "--threads", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
