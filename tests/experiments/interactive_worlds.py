"""Small experiments of interactive systems, around a retrieval model, on a small synthetic world."""

from __future__ import annotations

from pathlib import Path

import yaml

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.models.base import MODELS
from mmrec_bench.training.records import Observer

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 120, n_items: 90, max_interactions: 40, mean_interactions: 14.0, factor_dim: 4}\n"
)
SPLIT = "{name: online-users, valid_users: 0.2}"
SESSIONS = (
    f"{{split: {SPLIT}, candidates: {{name: sampled, n: 20}}, queries: {{name: mined, min_items: 3}}, "
    "cutoffs: [2, 4], select_by: success@2}"
)
KNN = "{model: itemknn, retriever: {backend: torch}}"
MF = "{model: {name: mf}, trainer: {max_epochs: 2, batch_size: 256}}"
SHORT = "{max_epochs: 2, batch_size: 256, learning_rate: 0.05}"


def write_world(folder: Path) -> Path:
    """Write the card of the world."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(WORLD, encoding="utf-8")
    return folder


def write_system(
    folder: Path, model: str = "core", base: str | None = KNN, *, protocol: str = SESSIONS,
    trainer: str | None = None, more: str = "", name: str | None = None, dataset: str = "card: small.yaml",
) -> Path:  # fmt: skip
    """Write the YAML of an interactive system."""
    closed = MODELS[model.partition(",")[0]].closed_form
    trainer = ("" if closed else SHORT) if trainer is None else trainer
    path = folder / f"{name or model.partition(',')[0]}.yaml"
    path.write_text(
        f"schema_version: 1\ndataset: {{{dataset}}}\n{f'inputs: {{base: {base}}}' if base else ''}\n"
        f"protocol: {protocol}\nmodel: {{name: {model}}}\n{f'trainer: {trainer}' if trainer else ''}\n{more}",
        encoding="utf-8",
    )
    return path


def system(folder: Path, model: str = "core", base: str | None = KNN, **keys: str) -> Experiment:
    """Return the experiment of an interactive system."""
    return load_experiment(write_system(folder, model, base, **keys))


def write_base(folder: Path, split: str = SPLIT, sections: str = KNN, name: str = "base") -> Path:
    """Write the YAML of a retrieval experiment, as the base of sessions is made."""
    path = folder / f"{name}.yaml"
    given = {
        "schema_version": 1,
        "dataset": {"card": "small.yaml"},
        "protocol": {"split": yaml.safe_load(split), "cutoffs": [20], "select_by": "recall@20"},
        **yaml.safe_load(sections),
    }
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    return path


def make(
    experiment: Experiment, settings: RunSettings, seed: int = 0, observer: Observer | None = None
) -> tuple[RunArtefact, Prepared]:
    """Make one run, and return it with its data."""
    prepared = Preparer(None)(experiment)
    return run(experiment, prepared, run_key(experiment, prepared, seed), settings, observer), prepared
