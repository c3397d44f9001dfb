"""One run: train, select on validation, open the test vault once, write the folder of facts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ModelError
from mmrec_bench.evaluation.cold import COLD_ONLY, cold_only
from mmrec_bench.evaluation.retrieval import Evaluation, RetrievalEvaluator, SliceResult
from mmrec_bench.experiments import artefact as files
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.artefact import RunArtefact, RunKey
from mmrec_bench.experiments.environment import (
    PeakMemory,
    code_digest,
    device_facts,
    git_state,
    package_versions,
    use_threads,
)
from mmrec_bench.experiments.folders import CONFIG, HISTORY, SCHEMA_VERSION
from mmrec_bench.experiments.inputs import resolve
from mmrec_bench.experiments.prepare import Prepared, unaltered_fingerprint
from mmrec_bench.experiments.run_settings import RunSettings as RunSettings
from mmrec_bench.experiments.schema import Experiment
from mmrec_bench.models.base import MODELS, ModelContext, Recommender
from mmrec_bench.retrieval.base import Retriever
from mmrec_bench.retrieval.config import build_retriever
from mmrec_bench.seeding import Seeds, determinism_of
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.memory import check_training_memory, memory_errors
from mmrec_bench.training.records import Observer, TrainingResult, Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.types import IntArray

VAULT_PURPOSE = "final evaluation of the weights selected on validation"


def run(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    observer: Observer | None = None,
    *,
    wait: bool = False,
) -> RunArtefact:
    """Make one run and return its artefact; a run that another process has just made is returned as it is.

    Args:
        experiment: What to run.
        prepared: Its data.
        key: Its identity.
        settings: How.
        observer: Is told of epochs; of those of an encoder first, where features have to be made.
        wait: Whether to wait for another process that makes the same run.

    Raises:
        MMRecBenchError: Whatever went wrong; the run's folder then does not exist.
    """
    use_threads(settings.threads)  # a number left to MKL may change with the load, and sums with it
    with write.run_lock(key, settings.out, wait=wait):
        if key.state(settings.out) != "done":
            with write.building(key, settings.out, keep=settings.resume) as folder:
                _build(experiment, prepared, key, settings, observer, folder)
    return RunArtefact.load(key.folder(settings.out))


def _build(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    observer: Observer | None,
    folder: Path,
) -> None:
    config, device = experiment.config, settings.device
    dataset, inputs = resolve(prepared.inputs, prepared.dataset, settings, observer)
    prepared = replace(prepared, load=lambda: dataset)
    retriever = build_retriever(config.retriever, device)
    started = time.perf_counter()
    with PeakMemory() as memory:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        valid = _evaluator(experiment, prepared, prepared.split.valid, ("train",), retriever)
        model, context = build_model(experiment, prepared, key.seed, device)
        prepare_seconds = time.perf_counter() - started

        def validate(trained: Recommender) -> Validation:
            evaluation = valid.evaluate(trained.export())
            return Validation(evaluation.means[config.protocol.select_by], evaluation.means)

        checkpoints = CheckpointStore(folder / "checkpoint.safetensors", identity=f"{key.fingerprint}/{key.seed}")
        result = train(
            model,
            context,
            config.trainer or TrainerConfig(),
            validate,
            context.seeds,
            device,
            checkpoints,
            observer,
            settings.resume,
        )
        started = time.perf_counter()
        ledger = VaultLedger()
        scoring = model.export()
        on_valid = valid.evaluate(scoring)
        truth = prepared.split.test.open(VAULT_PURPOSE, ledger)
        test = _evaluator(experiment, prepared, truth, config.protocol.exclude, retriever)
        on_test = test.evaluate(scoring)
        slices = test.slices(on_test)
        if (among_cold := cold_only(test, scoring)) is not None:
            slices[COLD_ONLY] = among_cold
        metrics = {
            "valid": write.finite({**on_valid.means, **valid.catalogue(on_valid)}),
            "test": write.finite({**on_test.means, **test.catalogue(on_test)}),
            "test_slices": {name: _slice_facts(result) for name, result in slices.items()},
        }
        test_seconds = time.perf_counter() - started
    parts = {"valid": on_valid, "test": on_test}
    n_truth = {"valid": prepared.split.valid.user_counts(), "test": truth.user_counts()}
    write.write_config(
        folder / CONFIG,
        config.model_dump(mode="json") | {"seeds": [key.seed]},
        f"mmrec-bench run {CONFIG}",
    )
    write.write_json(folder / files.METRICS, metrics)
    write.write_history(folder / HISTORY, [record.as_json() for record in result.history])
    write.write_table(folder / files.PER_USER, _per_user(parts, n_truth, prepared))
    write.write_table(folder / files.RANKINGS, _rankings(parts, prepared))
    write.write_weights(folder / files.WEIGHTS, model.state_dict())
    seconds = {"prepare": prepare_seconds, **result.seconds, "test": test_seconds}
    served = {part: dict(evaluation.rankings.served) for part, evaluation in parts.items()}
    write.write_manifest(
        folder,
        manifest(experiment, prepared, key, settings, model, result, seconds, served, memory.peak_mib, ledger, inputs),
        files.FILES,
    )
    checkpoints.clear()  # last: until every file is written, an interrupted run can still go on


def build_model(
    experiment: Experiment, prepared: Prepared, seed: int, device: torch.device
) -> tuple[Recommender, ModelContext]:
    """Return the untrained model on its device, and the context it was built from."""
    config = experiment.config
    seeds = Seeds(seed)
    batch_size = (config.trainer or TrainerConfig()).batch_size
    context = ModelContext(
        prepared.split.train, prepared.dataset.features, prepared.dataset.items, seeds, batch_size=batch_size
    )
    seeds.seed_global("init")
    with memory_errors(device, "building the model", "Lower model.embedding_dim"):
        model = config.entry.build(config.model, context)
        if not isinstance(model, Recommender):
            raise ModelError(f"'{config.entry.name}' is registered for retrieval, but its class is no Recommender")
        model.to(device)
    check_training_memory(model, device)
    return model, context


def _evaluator(
    experiment: Experiment, prepared: Prepared, truth: Interactions, exclude: tuple[str, ...], retriever: Retriever
) -> RetrievalEvaluator:
    protocol, split = experiment.config.protocol, prepared.split
    return RetrievalEvaluator(
        train=split.train,
        truth=truth,
        excluded=[split.train if part == "train" else split.valid for part in exclude],
        metrics=protocol.metrics,
        cutoffs=protocol.cutoffs,
        retriever=retriever,
        ties=prepared.ties,
        present={name: table.present for name, table in prepared.dataset.features.items()},
    )


def _altered(experiment: Experiment, prepared: Prepared) -> dict[str, Any] | None:
    """Return what was done to the features, and which experiment these runs stand against; None for features as is."""
    if not (changes := experiment.config.dataset.alter):
        return None
    alterations = [change.model_dump(mode="json") for change in changes]
    return {"alterations": alterations, "unaltered": unaltered_fingerprint(experiment, prepared)}


def _slice_facts(result: SliceResult) -> dict[str, float]:
    return {"n_users": result.n_users, "n_items": result.n_items, **write.finite(result.metrics)}


def _per_user(parts: Mapping[str, Evaluation], n_truth: Mapping[str, IntArray], prepared: Prepared) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "part": pd.Categorical([part] * len(evaluation.users), categories=list(parts)),
                    "user_id": prepared.dataset.user_ids[evaluation.users],
                    "n_truth": n_truth[part][evaluation.users],
                    **evaluation.per_user,
                }
            )
            for part, evaluation in parts.items()
        ],
        ignore_index=True,
    )


def _rankings(parts: Mapping[str, Evaluation], prepared: Prepared) -> pd.DataFrame:
    user_ids, item_ids = pd.Index(prepared.dataset.user_ids), pd.Index(prepared.dataset.item_ids)
    frames = []
    for part, evaluation in parts.items():
        rankings = evaluation.rankings
        user, rank = (rankings.items >= 0).nonzero()  # padding is not written
        columns = {
            "part": pd.Categorical([part] * len(user), categories=list(parts)),
            "user_id": pd.Categorical.from_codes(rankings.users[user], user_ids),
            "rank": (rank + 1).astype(np.int32),
            "item_id": pd.Categorical.from_codes(rankings.items[user, rank], item_ids),
            "score": rankings.scores[user, rank],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def manifest(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    model: Recommender,
    result: TrainingResult,
    seconds: Mapping[str, float],
    served: Mapping[str, Mapping[str, int]],
    peak_memory_mib: float,
    ledger: VaultLedger,
    inputs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the facts of ``manifest.json``."""
    config, device = experiment.config, settings.device
    features = {name.partition("/")[2]: value for name, value in prepared.fingerprints.items() if "/" in name}
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "task": config.entry.task,
        "dataset": prepared.dataset.name,
        "model": config.model.label,
        "parts": [part.name for part in config.model.parts()],
        "tables": [table for part in config.model.parts() for table in part.tables],
        "seed": key.seed,
        "closed_form": config.entry.closed_form,
        "fingerprints": {
            "config": key.fingerprint,
            "data": prepared.fingerprints["data"],
            "split": prepared.fingerprints["split"],
            "features": features,
            "code": code_digest(),
        },
        "git": git_state(),
        "packages": package_versions(),
        "device": device_facts(device),
        "determinism": determinism_of(device),
        "threads": settings.threads,
        "protocol_id": config.protocol.id,
        "select_by": config.protocol.select_by,
        "n_parameters": {
            "total": _count(model),
            "item_representation": _count(model.item_representation),
        },
        "model_facts": write.finite(model.facts()),
        "training": {
            "epochs_run": result.epochs_run,
            "best_epoch": result.best_epoch,
            "best_score": result.best_score,
            "stopped_by": result.stopped_by,
        },
        "seconds": dict(seconds),
        "peak_memory_mib": peak_memory_mib,
        "vault_openings": [asdict(opening) for opening in ledger.openings],
        "leak": None,
        "altered": _altered(experiment, prepared),
        "inputs": [dict(item) for item in inputs],
        "retriever": {"backend": config.retriever.backend, "exact": True, "served": served},
        "data_report": asdict(prepared.dataset.report),
        "split_report": asdict(prepared.split.report),
        "deviations": [deviation for part in config.model.parts() for deviation in MODELS[part.name].deviations],
    }
    if device.type == "cuda":
        facts["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(device) / (1 << 20)
    return facts


def _count(part: nn.Module | None) -> int:
    return 0 if part is None else sum(parameter.numel() for parameter in part.parameters())
