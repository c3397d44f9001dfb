"""Sessions on real data: the words that there are, and numbers recomputed from what lies on the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment

pytestmark = pytest.mark.data
CARDS = ["movielens-100k", "amazon-scientific"]


def make(card: str, model: str, folder: Path, data_dir: Path, protocol: str = "") -> tuple[RunArtefact, Prepared]:
    path = folder / f"{card}.yaml"
    path.write_text(
        f"schema_version: 1\ndataset: {{card: {card}}}\ninputs: {{base: {{model: popularity}}}}\n"
        f"protocol: {{split: online-users, cutoffs: [3, 10]{protocol}, select_by: success@3}}\n"
        f"model: {{name: {model}}}\n",
        encoding="utf-8",
    )
    experiment = load_experiment(path)
    prepared = Preparer(data_dir)(experiment)
    settings = RunSettings(folder / "runs", torch.device("cpu"), threads=1)
    return run(experiment, prepared, run_key(experiment, prepared, 0), settings), prepared


@pytest.mark.parametrize("card", CARDS)
def test_item_only_is_recomputed_from_counts_and_candidates(card: str, tmp_path: Path, data_dir: Path) -> None:
    artefact, prepared = make(card, "item-only", tmp_path, data_dir)
    counts = prepared.split.train.item_counts()
    row = {str(name): place for place, name in enumerate(prepared.dataset.item_ids)}
    table = artefact.rankings()
    on_table = table[(table["part"] == "test") & (table["round"] == 0)]
    hits, turns = {3: [], 10: []}, {3: [], 10: []}
    for _, mine in on_table.groupby("session"):
        items = np.array([row[name] for name in mine["item_id"]])
        wanted = mine["wanted"].to_numpy()
        assert len(items) == 30
        assert wanted.sum() == 3
        first = int(wanted[np.lexsort((prepared.ties[items], -counts[items]))].argmax())  # places before it
        for k in hits:
            hits[k].append(first <= k)
            turns[k].append(first if first <= k else k + 3)
    for k in hits:
        assert artefact.metrics["test"][f"success@{k}"] == pytest.approx(np.mean(hits[k]), abs=1e-12)
        assert artefact.metrics["test"][f"turns@{k}"] == pytest.approx(np.mean(turns[k]), abs=1e-12)


@pytest.mark.parametrize("card", CARDS)
def test_core_follows_the_words_of_the_data(card: str, tmp_path: Path, data_dir: Path) -> None:
    """Whatever is shown after an answer agrees with it, unless nothing that was not shown does."""
    artefact, prepared = make(card, "core", tmp_path, data_dir)
    words = prepared.dataset.items.words
    assert words is not None
    assert not artefact.manifest["sessions"]["test"]["violations"]
    row = {str(name): place for place, name in enumerate(prepared.dataset.item_ids)}
    table = artefact.rankings()
    asked = 0
    for _, mine in table[table["part"] == "test"].groupby("session"):
        told: list[tuple[set[str], bool]] = []
        left = {
            name: {": ".join(word) for word in words.of_item(row[name])} for name in mine[mine["round"] == 0]["item_id"]
        }
        for turn in mine[mine["round"] > 0].itertuples(index=False):
            agreeing = [name for name, has in left.items() if all((query <= has) == yes for query, yes in told)]
            if turn.kind == "query":
                told.append((set(turn.text.split(" + ")), turn.clicked))
                asked += 1
            else:
                assert turn.item_id in (agreeing or left)
                del left[turn.item_id]
    assert asked > 50
