"""One run: train, select on validation, open the test vault once, write the folder of facts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmrec_bench.audit import CHEAP
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.experiments import artefact as files
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.artefact import RunArtefact, RunKey
from mmrec_bench.experiments.audit import made_tables
from mmrec_bench.experiments.energy import EnergyMeter
from mmrec_bench.experiments.environment import (
    PeakMemory,
    code_digest,
    device_facts,
    git_state,
    package_versions,
    use_threads,
)
from mmrec_bench.experiments.executors.shards import sharded_retriever
from mmrec_bench.experiments.folders import CONFIG, HISTORY, SCHEMA_VERSION
from mmrec_bench.experiments.inputs import resolve
from mmrec_bench.experiments.prepare import FirstStage, Prepared, Start, run_key, unaltered_fingerprint
from mmrec_bench.experiments.run_settings import RunSettings as RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.start import continue_from, read_weights
from mmrec_bench.experiments.stations.base import Judgement, Station
from mmrec_bench.experiments.stations.ctr import CtrStation
from mmrec_bench.experiments.stations.interactive import InteractiveStation
from mmrec_bench.experiments.stations.ranking import RankingStation
from mmrec_bench.experiments.stations.retrieval import RetrievalStation
from mmrec_bench.models.base import MODELS, ClosedForm
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.seeding import Seeds, determinism_of
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.memory import memory_errors
from mmrec_bench.training.records import Observer, TrainingResult
from mmrec_bench.training.team import ALONE, Team
from mmrec_bench.training.trainer import train
from mmrec_bench.types import Task


def run(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    observer: Observer | None = None,
    *,
    wait: bool = False,
    team: Team = ALONE,
) -> RunArtefact:
    """Make one run and return its artefact; a run that another process has just made is returned as it is.

    Args:
        experiment: What to run.
        prepared: Its data.
        key: Its identity.
        settings: How.
        observer: Is told of epochs; of those of an encoder first, where features have to be made.
        wait: Whether to wait for another process that makes the same run.
        team: Who trains the model, led by this process; what the run needs besides, this process makes alone.

    Raises:
        MMRecBenchError: Whatever went wrong; the run's folder then does not exist.
    """
    use_threads(settings.threads)  # a number left to MKL may change with the load, and sums with it
    with write.run_lock(key, settings.out, wait=wait):
        if key.state(settings.out) != "done":
            with write.building(key, settings.out, keep=settings.resume) as folder:
                _build(experiment, prepared, key, settings, observer, folder, team)
    return RunArtefact.load(key.folder(settings.out))


def _build(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    observer: Observer | None,
    folder: Path,
    team: Team,
) -> None:
    config, device = experiment.config, settings.device
    prepared, inputs = with_inputs(prepared, key.seed, settings, observer)
    started, cpu_started = time.perf_counter(), time.process_time()
    with PeakMemory() as memory, EnergyMeter(settings.energy) as energy:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        station, model, context, start = built(experiment, prepared, key.seed, settings)
        inputs = [*inputs, *start]
        prepare_seconds, cpu_prepare = time.perf_counter() - started, time.process_time() - cpu_started
        checkpoints = checkpoints_of(key, settings.out)
        team = ALONE if isinstance(model, ClosedForm) else team  # a closed form is fitted by one process
        with team.training(key.identity):
            result = train(
                model,
                context,
                config.trainer or TrainerConfig(),
                station.validate,
                Seeds(key.seed),
                device,
                checkpoints,
                observer,
                settings.resume,
                team,
            )
        started, cpu_started = time.perf_counter(), time.process_time()
        ledger = VaultLedger()
        with memory_errors(device, "the test"):
            judgement = station.judge(model, ledger)
        test_seconds, cpu_test = time.perf_counter() - started, time.process_time() - cpu_started
    tables = made_tables(prepared.dataset, inputs)
    audit = prepared.auditor(tables, CHEAP).facts()  # last: it looks at the test part, too
    write.write_config(
        folder / CONFIG,
        config.model_dump(mode="json") | {"seeds": [key.seed]},
        f"mmrec-bench run {CONFIG}",
    )
    write.write_json(folder / files.METRICS, judgement.metrics)
    write.write_history(folder / HISTORY, [record.as_json() for record in result.history])
    write.write_table(folder / files.PER_USER, judgement.per_user)
    write.write_table(folder / files.RANKINGS, judgement.rankings)
    write.write_weights(folder / files.WEIGHTS, model.state_dict())
    cost = {
        "seconds": {"prepare": prepare_seconds, **result.seconds, "test": test_seconds},
        "cpu_seconds": {"prepare": cpu_prepare, "train_and_validate": result.cpu_seconds, "test": cpu_test},
        "energy": energy.facts,
        "peak_memory_mib": memory.peak_mib,
    }
    write.write_manifest(
        folder,
        manifest(
            experiment,
            prepared,
            key,
            settings,
            model,
            result,
            cost,
            judgement,
            ledger,
            inputs,
            audit,
            team,
        ),
        files.FILES,
    )
    checkpoints.clear()  # last: until every file is written, an interrupted run can still go on


MADE = ("clicks", "candidates", "base", "lexicon", "start")
"""Fingerprints of what is made for an experiment, beside its data."""

STATIONS: Mapping[Task, Callable[[Experiment, Prepared, torch.device], Station]] = {
    "retrieval": RetrievalStation,
    "ranking": RankingStation,
    "ctr": CtrStation,
    "interactive": InteractiveStation,
}
"""How runs of each task are built, validated and judged."""


def checkpoints_of(key: RunKey, out: Path) -> CheckpointStore:
    """Return where the checkpoint of a run lies while it is made."""
    return CheckpointStore(key.partial(out) / "checkpoint.safetensors", identity=key.identity)


def with_inputs(
    prepared: Prepared, seed: int, settings: RunSettings, observer: Observer | None
) -> tuple[Prepared, list[dict[str, Any]]]:
    """Make the features, the first stage and the weights to start from that a run needs, where they are not there.

    Returns:
        The data with all of them, and what the manifest says of features and first stage.
    """
    prepared, facts = with_made_features(prepared, settings, observer)
    if (start := prepared.start) is not None and start.folder is None:
        made = _start_run(start, seed, settings, observer)
        prepared = replace(prepared, start=replace(start, folder=made.folder))
    if (stage := prepared.first_stage) is None:
        return prepared, facts
    first = _first_run(stage, settings, observer)
    own, _ = with_made_features(stage.prepared, settings, observer)  # of which its model is built again
    prepared = replace(prepared, first_stage=replace(stage, prepared=own), first_run=first)
    return prepared, [*facts, _first_stage_facts(stage, first)]


def with_made_features(
    prepared: Prepared, settings: RunSettings, observer: Observer | None
) -> tuple[Prepared, list[dict[str, Any]]]:
    """Return the data with the tables of made features, made where they are not there, and what the manifest says."""
    if not prepared.inputs:
        return prepared, []
    dataset, facts = resolve(prepared.inputs, prepared.dataset, settings, observer)
    return replace(prepared, load=lambda: dataset, inputs=()), facts


def built(
    experiment: Experiment, prepared: Prepared, seed: int, settings: RunSettings
) -> tuple[Station, Any, Any, list[dict[str, Any]]]:
    """Return the station of an experiment, its model and context, and facts of the weights that the model starts from.

    Args:
        experiment: What is built.
        prepared: Its data, from `with_inputs`.
        seed: Of the model.
        settings: How.
    """
    station = _station(experiment, prepared, settings)
    model, context = station.build(seed)
    return station, model, context, [] if prepared.start is None else [_started(model, prepared.start)]


def _station(experiment: Experiment, prepared: Prepared, settings: RunSettings) -> Station:
    task, n_shards = experiment.config.entry.task, settings.evaluation_shards
    if task != "retrieval" or n_shards == 1:
        return STATIONS[task](experiment, prepared, settings.device)
    config = experiment.config.retriever or RetrieverConfig()
    retriever = sharded_retriever(config, n_shards, settings.threads)
    return RetrievalStation(experiment, prepared, settings.device, retriever)


def _made(
    experiment: Experiment, prepared: Prepared, key: RunKey, settings: RunSettings, observer: Observer | None
) -> RunArtefact:
    """Return a run that another one needs, and make it first where it is not there."""
    if settings.reuse_stale and key.state(settings.out) == "stale":
        return RunArtefact.load(key.folder(settings.out))
    return run(experiment, prepared, key, settings, observer, wait=True)


def _first_run(stage: FirstStage, settings: RunSettings, observer: Observer | None) -> RunArtefact:
    """Return the run of a first stage, and make it first where it is not there."""
    if stage.folder is not None:
        return RunArtefact.load(stage.folder)
    return _made(stage.experiment, stage.prepared, stage.key, settings, observer)


def _start_run(start: Start, seed: int, settings: RunSettings, observer: Observer | None) -> RunArtefact:
    """Return the run whose weights another one starts from, and make it first where it is not there."""
    assert start.experiment is not None
    assert start.prepared is not None
    key = run_key(start.experiment, start.prepared, seed)
    return _made(start.experiment, start.prepared, key, settings, observer)


def _started(model: nn.Module, start: Start) -> dict[str, Any]:
    """Put the weights that a model starts from into it, and return what the manifest says of them."""
    assert start.folder is not None  # made before
    artefact = RunArtefact.load(start.folder)
    continue_from(model, read_weights(artefact.folder / files.WEIGHTS), str(artefact.folder))
    facts = artefact.manifest
    return {
        "kind": "start",
        "model": facts["model"],
        "seed": facts["seed"],
        "fingerprint": facts["fingerprints"]["config"],
        "code": facts["fingerprints"]["code"],
        "determinism": facts["determinism"],
    }


def _first_stage_facts(stage: FirstStage, run: RunArtefact) -> dict[str, Any]:
    facts = run.manifest
    return {
        "kind": stage.kind,
        **stage.settings,
        "model": facts["model"],
        "fingerprint": facts["fingerprints"]["config"],
        "code": facts["fingerprints"]["code"],
        "determinism": facts["determinism"],
        "metrics": run.metrics["valid"],
    }


def _altered(experiment: Experiment, prepared: Prepared) -> dict[str, Any] | None:
    """Return what was done to the features, and which experiment these runs stand against; None for features as is."""
    if not (changes := experiment.config.dataset.alter):
        return None
    alterations = [change.model_dump(mode="json") for change in changes]
    return {"alterations": alterations, "unaltered": unaltered_fingerprint(experiment, prepared)}


def manifest(
    experiment: Experiment,
    prepared: Prepared,
    key: RunKey,
    settings: RunSettings,
    model: Any,
    result: TrainingResult,
    cost: Mapping[str, Any],
    judgement: Judgement,
    ledger: VaultLedger,
    inputs: Sequence[Mapping[str, Any]],
    audit: Mapping[str, Any],
    team: Team,
) -> dict[str, Any]:
    """Return the facts of ``manifest.json``."""
    config, device = experiment.config, settings.device
    features = {name.partition("/")[2]: value for name, value in prepared.fingerprints.items() if "/" in name}
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "task": config.entry.task,
        "dataset": prepared.dataset.name,
        "model": config.label,
        "parts": [part.name for part in config.parts],
        "tables": [table for part in config.parts for table in part.tables],
        "seed": key.seed,
        "closed_form": config.entry.closed_form,
        "deterministic": config.entry.deterministic,
        "fingerprints": {
            "config": key.fingerprint,
            "data": prepared.fingerprints["data"],
            "split": prepared.fingerprints["split"],
            "features": features,
            **{name: value for name, value in prepared.fingerprints.items() if name in MADE},
            "code": code_digest(),
        },
        "git": git_state(),
        "packages": package_versions(),
        "device": device_facts(device),
        "determinism": determinism_of(device, team.size),
        "threads": settings.threads,
        "data_parallel": team.facts,
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
        **cost,
        "vault_openings": [asdict(opening) for opening in ledger.openings],
        "leak": None,
        "audit": dict(audit),
        "altered": _altered(experiment, prepared),
        "tuning": None if experiment.tuning is None else dict(experiment.tuning),
        "inputs": [dict(item) for item in inputs],
        **judgement.facts,
        "data_report": asdict(prepared.dataset.report),
        "split_report": asdict(prepared.split.report),
        "deviations": [deviation for part in config.parts for deviation in MODELS[part.name].deviations],
    }
    if device.type == "cuda":
        facts["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(device) / (1 << 20)
    return facts


def _count(part: nn.Module | None) -> int:
    return 0 if part is None else sum(parameter.numel() for parameter in part.parameters())
