"""Whole runs of CTR models, on a small synthetic world."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from mmrec_bench.data.split import SealedTest, VaultLedger
from mmrec_bench.errors import ArtefactError, ConfigError, DataError, ProtocolError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.stations.ctr import CtrStation
from mmrec_bench.models.base import MODELS
from mmrec_bench.reports.report import make_report

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 80, n_items: 40, max_interactions: 30, mean_interactions: 12.0, factor_dim: 4,\n"
    "  impressions: {n_lists: 500, list_length: 4, position_exponent: 0.0, popularity_floor: 1.0}}\n"
)


def _experiment(
    folder: Path, model: str = "deepfm", *, impressions: str = "shown", protocol: str = "{split: time-window}",
    trainer: str = "{max_epochs: 2, batch_size: 128}", more: str = "",
) -> Experiment:  # fmt: skip
    (folder / "small.yaml").write_text(WORLD, encoding="utf-8")
    path = folder / f"{re.split('[, ]', model)[0]}.yaml"
    path.write_text(
        f"schema_version: 1\ndataset: {{card: small.yaml, impressions: {impressions}}}\nprotocol: {protocol}\n"
        f"model: {{name: {model}}}\n{f'trainer: {trainer}' if trainer else ''}\n{more}",
        encoding="utf-8",
    )
    return load_experiment(path)


def _run(experiment: Experiment, settings: RunSettings, seed: int = 0) -> RunArtefact:
    prepared = Preparer(None)(experiment)
    return run(experiment, prepared, run_key(experiment, prepared, seed), settings)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].task == "ctr"])
def test_a_run_writes_one_probability_an_impression(name: str, tmp_path: Path, settings: RunSettings) -> None:
    trainer = "" if MODELS[name].closed_form else "{max_epochs: 2, batch_size: 128}"
    artefact = _run(_experiment(tmp_path, name, trainer=trainer), settings)
    table, counts = artefact.rankings(), artefact.manifest["split_report"]["counts"]
    for part in ("valid", "test"):
        rows = table[table["part"] == part]
        assert len(rows) == counts[part]
        auc = roc_auc_score(rows["label"], rows["probability"])
        assert artefact.metrics[part]["auc"] == pytest.approx(auc, abs=1e-9)
        users = artefact.per_user()
        users = users[users["part"] == part]
        assert users["auc"].mean() == pytest.approx(auc, abs=1e-9)
        assert users["n_impressions"].sum() == len(rows)
        assert users["n_truth"].sum() == rows["label"].sum()
    assert len(artefact.manifest["vault_openings"]) == 1
    assert "shown" in artefact.manifest["impressions"]["recipe"]
    assert artefact.manifest["leak"] is None
    report = make_report("ctr", "test", [(None, artefact)]).markdown()
    assert "CTR: will this user click this item now?" in report
    assert "Impressions for train / valid / test" in report


def test_known_and_new_users_are_apart(tmp_path: Path, settings: RunSettings) -> None:
    artefact = _run(_experiment(tmp_path, "item-rate", trainer=""), settings)
    slices, table = artefact.metrics["test_slices"], artefact.rankings()
    test = table[table["part"] == "test"]
    known = slices["users:known"]["n_impressions"] + slices.get("users:new", {"n_impressions": 0})["n_impressions"]
    assert known == len(test)
    assert slices["users:known"]["n_users"] <= test["user_id"].nunique()


def test_an_ordered_pass_is_another_training_and_repeats(tmp_path: Path, settings: RunSettings) -> None:
    shuffled = _run(_experiment(tmp_path, trainer="{max_epochs: 1, batch_size: 64}"), settings)
    ordered = _run(_experiment(tmp_path, trainer="{max_epochs: 1, batch_size: 64, order: time}"), settings)
    assert shuffled.metrics["test"] != ordered.metrics["test"]
    again = RunSettings(tmp_path / "again", settings.device, settings.threads)
    assert _run(_experiment(tmp_path, trainer="{max_epochs: 1, batch_size: 64, order: time}"), again).metrics == (
        ordered.metrics
    )


def test_a_feature_table_in_the_slot_is_no_field(tmp_path: Path, settings: RunSettings) -> None:
    bare = _run(_experiment(tmp_path), settings)
    slotted = _run(_experiment(tmp_path, "deepfm, extra: image"), settings)
    of_bare, of_slotted = (load_file(each.folder / "model.safetensors") for each in (bare, slotted))
    assert slotted.manifest["tables"] == ["image"]
    assert not [key for key in of_bare if "slot" in key]
    assert of_slotted["dense.slot.columns.weight"].abs().sum() > 0
    n_tables = [sum(key.endswith("linear.weight") for key in each) for each in (of_bare, of_slotted)]
    assert n_tables == [2, 1]


def test_histories_end_where_the_part_begins(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path, "din-ctr")
    prepared = Preparer(None)(experiment)
    station = CtrStation(experiment, prepared, torch.device("cpu"))
    valid, train = prepared.split.valid, prepared.split.train
    histories = station._valid_part.histories
    start = valid.timestamps[0]
    for row in (0, len(valid) // 2, len(valid) - 1):
        mine = (train.users == valid.users[row]) & (train.labels > 0) & (train.timestamps < start)
        got = histories.items[histories.begins[row] : histories.ends[row]]
        assert got.tolist() == train.items[mine].tolist()
    later = station._part(valid, train.then(valid)).histories  # even of a log that goes on
    assert (later.ends - later.begins == histories.ends - histories.begins).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"impressions": "null"}, "needs dataset.impressions"),
        ({"impressions": "sampeld"}, "did you mean 'sampled'"),
        ({"protocol": "{split: random-811}"}, "does not part points; those that do: time-window"),
        ({"protocol": "{split: time-window, select_by: log-loss}"}, "select_by"),
        ({"protocol": "{split: time-window, tie_seed: 3}"}, "remove it"),
        ({"protocol": "{split: time-window, metrics: [auk]}"}, "did you mean 'auc'"),
        ({"model": "deepfm, extra: fused"}, "needs fused"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _experiment(tmp_path, **changes)  # type: ignore[arg-type]


def test_impressions_and_time_order_are_for_ctr_models_alone(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(WORLD, encoding="utf-8")
    path = tmp_path / "mf.yaml"
    for dataset, trainer, message in (
        ("impressions: shown", "{}", "predicts no clicks"),
        ("modalities: null", "{order: time}", "for models of the task ctr"),
    ):
        path.write_text(
            f"schema_version: 1\ndataset: {{card: small.yaml, {dataset}}}\nprotocol: {{split: random-811}}\n"
            f"model: {{name: mf}}\ntrainer: {trainer}\n",
            encoding="utf-8",
        )
        with pytest.raises(ConfigError, match=message):
            load_experiment(path)


def test_data_that_give_no_impressions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs values"):
        Preparer(None)(_experiment(tmp_path, impressions="rated"))
    with pytest.raises(ProtocolError, match="empty"):
        Preparer(None)(_experiment(tmp_path, protocol="{split: {name: time-window, cut_at: 2030-01-01}}"))


def test_shuffled_test_labels_change_nothing_before_the_opening(tmp_path: Path, settings: RunSettings) -> None:
    experiment = _experiment(tmp_path, "din-ctr", impressions="{name: sampled, n: 2}")
    prepared = Preparer(None)(experiment)
    key, found = run_key(experiment, prepared, 0), []
    for number, seed in enumerate((None, 0)):
        truth = prepared.split.test.open("test", VaultLedger())
        if seed is not None:
            truth = dataclasses.replace(truth, labels=np.random.default_rng(seed).permutation(truth.labels))
        split = dataclasses.replace(prepared.split, test=SealedTest(truth))
        out = dataclasses.replace(settings, out=tmp_path / str(number))
        found.append(run(experiment, dataclasses.replace(prepared, split=split), key, out))
    one, two = found
    assert one.metrics["valid"] == two.metrics["valid"]
    assert one.metrics["test"] != two.metrics["test"]
    assert (one.rankings()["probability"] == two.rankings()["probability"]).all()


ONE_PASS = "{max_epochs: 1, batch_size: 64, order: time}"


def test_training_goes_on_from_a_run_or_from_an_experiment_alike(tmp_path: Path, settings: RunSettings) -> None:
    base = _experiment(tmp_path, "fm")
    made = _run(base, settings)
    config = base.source.rename(tmp_path / "base.yaml")
    found = []
    for start in (str(made.folder), str(config), "{model: {name: fm}, trainer: {max_epochs: 2, batch_size: 128}}"):
        experiment = _experiment(tmp_path, "fm", trainer=ONE_PASS, more=f"inputs: {{start: {start}}}\n")
        found.append(_run(experiment, settings))
    assert found[0].metrics == found[1].metrics == found[2].metrics
    assert found[1].folder == found[2].folder
    assert found[0].metrics != _run(_experiment(tmp_path, "fm", trainer=ONE_PASS), settings).metrics
    assert found[0].manifest["inputs"][0]["kind"] == "start"
    assert found[0].manifest["fingerprints"]["start"]


def test_a_run_is_looked_for_beside_the_yaml(
    tmp_path: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _run(_experiment(tmp_path, "fm"), settings)
    monkeypatch.chdir(tmp_path.parent)
    for start in (os.path.relpath(made.folder, tmp_path), f"{{run: {os.path.relpath(made.folder, tmp_path)}}}"):
        experiment = _experiment(tmp_path, "fm", trainer=ONE_PASS, more=f"inputs: {{start: {start}}}\n")
        assert experiment.config.inputs.start is not None
        assert experiment.config.inputs.start.run == str(made.folder.resolve())


def test_weights_cannot_be_chosen_by_what_is_undefined(tmp_path: Path, settings: RunSettings) -> None:
    experiment = _experiment(tmp_path, "fm", protocol="{split: time-window, select_by: gauc}")
    prepared = Preparer(None)(experiment)
    points = prepared.split.valid
    alone = points.select(np.isin(np.arange(len(points.users)), np.unique(points.users, return_index=True)[1]))
    prepared = dataclasses.replace(prepared, split=dataclasses.replace(prepared.split, valid=alone))
    with pytest.raises(ProtocolError, match=r"select_by is gauc, which is undefined .* Defined there: .*auc"):
        run(experiment, prepared, run_key(experiment, prepared, 0), settings)


def test_the_weights_a_run_starts_from_are_those_of_its_seed(tmp_path: Path, settings: RunSettings) -> None:
    trainer = "{max_epochs: 1, batch_size: 128, learning_rate: 1.0e-12}"
    more = "inputs: {start: {model: {name: fm}, trainer: {max_epochs: 2, batch_size: 128}}}\n"
    for seed in (0, 1):
        base = _run(_experiment(tmp_path, "fm"), settings, seed)
        kept = _run(_experiment(tmp_path, "fm", trainer=trainer, more=more), settings, seed)
        assert kept.metrics["test"]["auc"] == pytest.approx(base.metrics["test"]["auc"], abs=1e-4)


def test_a_slot_is_added_to_trained_weights(tmp_path: Path, settings: RunSettings) -> None:
    start = "inputs: {start: {model: {name: deepfm, content: false}, trainer: {max_epochs: 2, batch_size: 128}}}\n"
    idle = "{max_epochs: 1, batch_size: 128, learning_rate: 1.0e-12}"
    base = _run(_experiment(tmp_path, "deepfm, content: false"), settings)
    slotted = _run(_experiment(tmp_path, "deepfm, content: false, extra: image", trainer=idle, more=start), settings)
    assert slotted.metrics["test"]["auc"] == pytest.approx(base.metrics["test"]["auc"], abs=1e-4)


def test_weights_of_another_model_or_split_are_refused(tmp_path: Path, settings: RunSettings) -> None:
    made = _run(_experiment(tmp_path, "fm"), settings)
    more = f"inputs: {{start: {made.folder}}}\n"
    with pytest.raises(ArtefactError, match="of another model; what differs: dense"):
        _run(_experiment(tmp_path, "deepfm", more=more), settings)
    with pytest.raises(ArtefactError, match=r"another split .* may have seen what is held out"):
        Preparer(None)(_experiment(tmp_path, "fm", protocol="{split: {name: time-window, cut_share: 0.6}}", more=more))
    with pytest.raises(ConfigError, match="either run, a folder, or model"):
        _experiment(tmp_path, "fm", more="inputs: {start: {trainer: {max_epochs: 1}}}\n")
    with pytest.raises(ConfigError, match="nothing to continue"):
        _experiment(tmp_path, "fm", more="inputs: {start: {model: item-rate}}\n")
    with pytest.raises(ConfigError, match=r"inputs\.start.*needs fused"):
        _experiment(tmp_path, "fm", more="inputs: {start: {model: {name: fm, extra: fused}}}\n")
