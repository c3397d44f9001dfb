"""Making features: train an encoder on feature tables, encode every item, write the folder of facts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import (
    PeakMemory,
    code_digest,
    device_facts,
    git_state,
    package_versions,
    use_threads,
)
from mmrec_bench.experiments.features.artefact import (
    ENCODER,
    FILES,
    VECTORS,
    FeaturesArtefact,
    FeaturesKey,
    items_digest,
)
from mmrec_bench.experiments.features.config import FeaturesConfig
from mmrec_bench.experiments.folders import CONFIG, HISTORY, SCHEMA_VERSION
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.models.encoders.base import ENCODERS, EncoderContext, EncoderTraining
from mmrec_bench.seeding import Seeds, determinism_of
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.memory import check_training_memory, memory_errors
from mmrec_bench.training.records import Observer, TrainingResult, Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.types import IntArray

SCORE = "score"
"""Validation metric of encoders: the loss on held-out items, negative, so that higher is better."""


@dataclass(frozen=True, slots=True)
class ItemSplit:
    """Items an encoder is trained on, and those on which its weights are chosen.

    Attributes:
        train: Item ids, ascending, int64 ``[n]``.
        valid: Item ids, ascending, int64 ``[m]``.
    """

    train: IntArray
    valid: IntArray

    @classmethod
    def of(cls, dataset: Dataset[Interactions], held_out: float, seeds: Seeds) -> ItemSplit:
        """Hold out a random share of the items that have features.

        Raises:
            DataError: Fewer than two items have features.
        """
        some = np.flatnonzero(np.logical_or.reduce([table.present for table in dataset.features.values()]))
        if len(some) < 2:
            raise DataError(
                f"data set '{dataset.name}': training an encoder needs at least two items with features; "
                f"{len(some)} have some"
            )
        n_valid = min(max(1, round(held_out * len(some))), len(some) - 1)
        drawn = seeds.numpy("held-out-items").permutation(some).astype(np.int64)
        return cls(np.sort(drawn[n_valid:]), np.sort(drawn[:n_valid]))


def align(
    config: FeaturesConfig, dataset: Dataset[Interactions], settings: RunSettings, observer: Observer | None = None
) -> FeaturesArtefact:
    """Return the features of a config, and make them first where they are not there.

    Args:
        config: What to make.
        dataset: Holds the feature tables; the interactions are not looked at.
        settings: Where and how.
        observer: Is told of epochs.

    Raises:
        MMRecBenchError: Whatever went wrong; the folder then does not exist.
    """
    key = FeaturesKey.of(config, dataset)
    reused = ("done", "stale") if settings.reuse_stale else ("done",)
    if key.state(settings.out) not in reused:
        use_threads(settings.threads)
        with write.run_lock(key, settings.out, wait=True):
            if key.state(settings.out) not in reused:  # again: another process may have made them
                with write.building(key, settings.out, keep=settings.resume) as folder:
                    _build(config, dataset, key, settings, observer, folder)
    return FeaturesArtefact.load(key.folder(settings.out))


def _build(
    config: FeaturesConfig,
    dataset: Dataset[Interactions],
    key: FeaturesKey,
    settings: RunSettings,
    observer: Observer | None,
    folder: Path,
) -> None:
    device, seeds = settings.device, Seeds(config.seed)
    split = ItemSplit.of(dataset, config.held_out, seeds)
    with PeakMemory() as memory:
        started = time.perf_counter()
        context = EncoderContext(dataset.features, split.train, seeds)
        seeds.seed_global("init")
        with memory_errors(device, "building the encoder", "Lower encoder.embedding_dim"):
            model = ENCODERS[config.encoder.name](config.encoder, context).to(device)
        check_training_memory(model, device)
        prepare_seconds = time.perf_counter() - started
        checkpoints = CheckpointStore(folder / "checkpoint.safetensors", identity=key.name)
        validate = partial(_validated, items=split.valid)
        result = train(
            model, context, config.trainer, validate, seeds, device, checkpoints, observer, settings.resume
        )  # fmt: skip
        model.finish()
        started = time.perf_counter()
        vectors, present = model.encoder.encode(dataset.features)
        encode_seconds = time.perf_counter() - started
    write.write_config(folder / CONFIG, config.model_dump(mode="json"), f"mmrec-bench features align {CONFIG}")
    write.write_history(folder / HISTORY, [record.as_json() for record in result.history])
    write.write_weights(folder / VECTORS, {"vectors": torch.from_numpy(vectors), "present": torch.from_numpy(present)})
    write.write_weights(folder / ENCODER, model.encoder.state_dict())
    seconds = {"prepare": prepare_seconds, **result.seconds, "encode": encode_seconds}
    facts = _facts(config, dataset, key, settings, split, model, result)
    write.write_manifest(folder, {**facts, "seconds": seconds, "peak_memory_mib": memory.peak_mib}, FILES)
    checkpoints.clear()


def _validated(model: EncoderTraining, items: IntArray) -> Validation:
    score = -model.validation_loss(items)
    return Validation(score, {SCORE: score})


def _facts(
    config: FeaturesConfig,
    dataset: Dataset[Interactions],
    key: FeaturesKey,
    settings: RunSettings,
    split: ItemSplit,
    model: EncoderTraining,
    result: TrainingResult,
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "features",
        "dataset": dataset.name,
        "encoder": config.encoder.name,
        "seed": config.seed,
        "fingerprints": {
            "config": key.fingerprint,
            "items": items_digest(dataset.item_ids),
            "features": dataset.feature_fingerprints(),
            "code": code_digest(),
        },
        "dims": {name: table.dim for name, table in sorted(dataset.features.items())},
        "items": {"train": len(split.train), "valid": len(split.valid), "catalogue": len(dataset.item_ids)},
        "git": git_state(),
        "packages": package_versions(),
        "device": device_facts(settings.device),
        "determinism": determinism_of(settings.device),
        "threads": settings.threads,
        "n_parameters": sum(p.numel() for p in model.encoder.parameters() if p.requires_grad),
        "training": {
            "epochs_run": result.epochs_run,
            "best_epoch": result.best_epoch,
            "best_score": result.best_score,
            "stopped_by": result.stopped_by,
        },
    }
