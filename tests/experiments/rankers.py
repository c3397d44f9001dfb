"""Small experiments of rankers: on lists of a log, on lists with clicks, and on what a first stage finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 120, n_items: 90, max_interactions: 40, mean_interactions: 14.0, factor_dim: 4,\n"
    "  taste_strength: 4.0, impressions: {n_lists: 300}}\n"
)
LISTS = "protocol: {split: by-user, cutoffs: [1, 3, 5], select_by: ndcg@5}\n"
CANDIDATES = (
    "protocol: {split: random-811, cutoffs: [5, 20], metrics: [ndcg, recall, mrr, precision, map], "
    "select_by: ndcg@5, options: {ap_denominator: min}}\n"
)
KNN = "{model: itemknn, retriever: {backend: torch}}"
MLP = "mlp, hidden_dims: [8], embedding_dim: 4"


def write_small(folder: Path) -> Path:
    """Write the card of a small world, which has both interactions and lists."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(WORLD, encoding="utf-8")
    return folder


def write_ranker(
    folder: Path, model: str = MLP, *, inputs: str = "", protocol: str = LISTS, dataset: str = "card: small.yaml",
    trainer: str = "{max_epochs: 2, batch_size: 64}",
) -> Path:  # fmt: skip
    """Write the YAML of a ranker."""
    path = folder / f"{model.partition(',')[0]}{'-two-stage' if inputs else ''}.yaml"
    path.write_text(
        f"schema_version: 1\ndataset: {{{dataset}}}\n{f'inputs: {inputs}' if inputs else ''}\n{protocol}"
        f"model: {{name: {model}}}\n{f'trainer: {trainer}' if trainer else ''}\n",
        encoding="utf-8",
    )
    return path


def two_stages(
    folder: Path, model: str = "initial", first_stage: str = KNN, more: str = "n: 20", **sections: str
) -> Experiment:
    """Return an experiment that ranks what a first stage finds."""
    sections = {"protocol": CANDIDATES} | ({"trainer": ""} if model == "initial" else {}) | sections
    path = write_ranker(folder, model, inputs=f"{{candidates: {{first_stage: {first_stage}, {more}}}}}", **sections)
    return load_experiment(path)


def make(
    experiment: Experiment, settings: RunSettings, seed: int = 0, preparer: Preparer | None = None
) -> tuple[RunArtefact, Prepared]:
    """Make one run, and return it with its data."""
    prepared = (preparer or Preparer(None))(experiment)
    return run(experiment, prepared, run_key(experiment, prepared, seed), settings), prepared


def items_by_user(users: np.ndarray, items: np.ndarray) -> dict[int, set[int]]:
    """Return the items of each user."""
    found: dict[int, set[int]] = {}
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        found.setdefault(user, set()).add(item)
    return found
