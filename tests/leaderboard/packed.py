"""Submissions of a small world for all tasks, and ways to spoil them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import mmrec_bench.data.cards
import mmrec_bench.resources
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.leaderboard.pack import pack
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.reports.cards.schema import ResultCard

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 120, n_items: 90, max_interactions: 40, mean_interactions: 14.0, factor_dim: 4,\n"
    "  impressions: {n_lists: 400, list_length: 4}}\n"
)
PROTOCOLS: Mapping[str, str] = {
    "retrieval": "{split: random-811, cutoffs: [5, 10], select_by: recall@10}",
    "ranking": "{split: by-user, cutoffs: [1, 3], select_by: ndcg@3}",
    "ctr": "{split: time-window, select_by: auc}",
    "interactive": "{split: {name: online-users, valid_users: 0.2}, queries: {name: mined, min_items: 3}, "
    "cutoffs: [2, 4], select_by: success@2}",
}
HEADLINE = {"retrieval": "recall@10", "ranking": "ndcg@3", "ctr": "auc", "interactive": "success@2"}
MODELS = {
    "retrieval": "model: popularity\n",
    "ranking": "model: initial\n",
    "ctr": "model: item-rate\n",
    "interactive": "inputs: {base: {model: popularity}}\nmodel: core\n",
    "trained": "model: {name: mf, embedding_dim: 4}\ntrainer: {max_epochs: 1}\nseeds: [0, 1, 2]\n",
}


@dataclass(frozen=True, slots=True)
class Board:
    """What tests of submissions start from.

    Attributes:
        root: Folder of all submissions; a folder ``<track>/<entry>`` for each task and one of a trained system.
        tracks: The tracks by name, which is that of the task.
        verification: Verifies; has read the data already.
        runs: Root of the run folders by name.
    """

    root: Path
    tracks: Mapping[str, Track]
    verification: Verification
    runs: Mapping[str, Path]


@contextmanager
def small_world(folder: Path, world: str = WORLD) -> Iterator[None]:
    """Let the bundled data sets be one small world."""
    (folder / "datasets").mkdir(exist_ok=True)
    (folder / "datasets" / "small.yaml").write_text(world, encoding="utf-8")
    bundled = mmrec_bench.resources.bundled

    def patched(kind: Any) -> Path:
        return folder / "datasets" if kind == "datasets" else bundled(kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmrec_bench.resources, "bundled", patched)
        patch.setattr(mmrec_bench.data.cards, "bundled", patched)
        yield


def make_board(folder: Path) -> Board:
    """Run, and pack, a system of each task."""
    tracks, runs = {}, {}
    preparer = Preparer(None)
    for name, body in MODELS.items():
        task = "retrieval" if name == "trained" else name
        impressions = ", impressions: shown" if task == "ctr" else ""
        path = folder / f"{name}.yaml"
        data = f"schema_version: 1\ndataset: {{card: small{impressions}}}\nprotocol: {PROTOCOLS[task]}\n"
        path.write_text(data + body, encoding="utf-8")
        experiment = load_experiment(path)
        prepared, config = preparer(experiment), experiment.config
        tracks[task] = Track.model_validate(
            {
                "schema_version": 1,
                "name": task,
                "title": task,
                "task": task,
                "dataset": {
                    "card": "small",
                    "shipped": True,
                    "impressions": "shown" if task == "ctr" else None,
                },
                "protocol": config.protocol.model_dump(mode="json"),
                "headline": [HEADLINE[task]],
                "depth": 10 if task == "retrieval" else None,
                "lists_in_git": True,
            }
        )
        runs[name] = folder / "runs" / name
        settings = RunSettings(runs[name], torch.device("cpu"), threads=torch.get_num_threads())
        made = [run(experiment, prepared, run_key(experiment, prepared, seed), settings) for seed in config.seeds]
        pack(made, tracks[task], name, ["A. Author"], folder / "submissions", code=CODE)
    return Board(folder / "submissions", tracks, Verification(None, tracks=tracks), runs)


CODE = ("https://example.org/code", "0123abc")


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_lists(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame], seed: int = 0) -> None:
    """Change the lists of a seed, and pack anew."""
    path = folder / "lists" / f"seed-{seed}.parquet"
    table = pd.read_parquet(path)
    for name in table.columns:
        if isinstance(table[name].dtype, pd.CategoricalDtype):
            table[name] = table[name].astype(object)
    change(table).to_parquet(path, index=False)
    repack(folder)


def edit_card(folder: Path, change: Callable[[Any], Any], *, seal: bool = True) -> None:
    """Change the card, with a digest that fits, and pack anew."""
    edit_json(folder / "card.json", change)
    if seal:
        card = ResultCard.model_validate_json((folder / "card.json").read_text(encoding="utf-8"), strict=False)
        (folder / "card.json").write_text(card.sealed().text(), encoding="utf-8")
    repack(folder)


def edit_config(folder: Path, old: str, new: str) -> None:
    """Change the text of the config, and pack anew."""
    path = folder / "config.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    repack(folder)


def repack(folder: Path) -> None:
    """Give ``submission.json`` the digests of the files as they are now: what a forger would do."""

    def digests(content: Any) -> None:
        for name in content["files"]:
            if (path := folder / name).is_file():
                data = path.read_bytes()
                digest = hashlib.blake2b(data, digest_size=16).hexdigest()
                content["files"][name] = {"digest": digest, "bytes": len(data)}

    edit_json(folder / "submission.json", digests)
