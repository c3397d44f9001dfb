"""Finished runs of all tasks on small worlds, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.leaderboard.scoring import prepared_for

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 120, n_items: 90, max_interactions: 40, mean_interactions: 14.0, factor_dim: 4,\n"
    "  impressions: {n_lists: 400, list_length: 4}}\n"
)
KNN = "model: {name: itemknn}\nretriever: {backend: torch}\n"
SESSIONS = (
    "split: {name: online-users, valid_users: 0.2}, queries: {name: mined, min_items: 3}, "
    "cutoffs: [2, 4], select_by: success@2"
)
BASE = "inputs: {base: {model: itemknn, retriever: {backend: torch}}}\n"
BODIES = {
    "retrieval": "dataset: {card: small.yaml}\n"
    f"protocol: {{split: random-811, cutoffs: [5, 10], select_by: recall@10}}\n{KNN}",
    "strict": "dataset: {card: small.yaml}\n"
    f"protocol: {{split: random-811, cutoffs: [5, 10], select_by: recall@10, exclude: [train, valid]}}\n{KNN}",
    "ranking": "dataset: {card: small.yaml}\nprotocol: {split: by-user, cutoffs: [1, 3], "
    "metrics: [ndcg, map, clicked-ndcg], select_by: ndcg@3, simulated: {nsim: {model: pbm, options: {empty: 0}}}}\n"
    "model: {name: initial}\n",
    "ctr": "dataset: {card: small.yaml, impressions: shown}\nprotocol: {split: time-window}\n"
    "model: {name: item-rate}\n",
    "interactive": f"dataset: {{card: small.yaml}}\nprotocol: {{{SESSIONS}, candidates: {{name: sampled, n: 20}}}}\n"
    f"{BASE}model: {{name: item-only}}\n",
    "noisy": f"dataset: {{card: small.yaml}}\nprotocol: {{{SESSIONS}, user: noisy, candidates: full, slots: 2}}\n"
    f"{BASE}model: {{name: core}}\n",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished run, and what its lists are judged by.

    Attributes:
        experiment: Its experiment.
        artefact: Its folder.
        prepared: Data and split, made without its model.
    """

    experiment: Experiment
    artefact: RunArtefact
    prepared: Prepared


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    """A run of each task, by name."""
    folder = tmp_path_factory.mktemp("runs-of-tasks")
    (folder / "small.yaml").write_text(WORLD, encoding="utf-8")
    settings = RunSettings(folder / "runs", torch.device("cpu"), threads=torch.get_num_threads())
    preparer, found = Preparer(None), {}
    for name, body in BODIES.items():
        path = Path(folder / f"{name}.yaml")
        path.write_text(f"schema_version: 1\n{body}", encoding="utf-8")
        experiment = load_experiment(path)
        prepared, config = preparer(experiment), experiment.config
        artefact = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
        alone = prepared_for(config.dataset.card, config.protocol, preparer, config.dataset.impressions)
        found[name] = Judged(experiment, artefact, alone)
    return found
