"""Whole runs of interactive systems: what is written, who teaches, and which base they work around."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.online_users import OnlineUsers
from mmrec_bench.data.split import SealedTest, VaultLedger
from mmrec_bench.data.split_rule import TRAIN
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ArtefactError, ConfigError, DataError, MMRecBenchError, ProtocolError
from mmrec_bench.experiments import folders
from mmrec_bench.experiments import run as run_module
from mmrec_bench.experiments.artefact import FILES, RunArtefact
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.stations.interactive import InteractiveStation
from mmrec_bench.models.base import MODELS
from mmrec_bench.training.records import EpochRecord, SilentObserver

from .conftest import write_world as write_tiny
from .interactive_worlds import KNN, MF, SESSIONS, SHORT, make, system, write_base, write_system, write_world

NAMES = [name for name in MODELS if MODELS[name].task == "interactive"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_world(tmp_path)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is trained, in order: models and their contexts."""
    seen: list[Any] = []

    def spy(model: Any, context: Any, *rest: Any) -> Any:
        seen.append((type(model).__name__, context))
        return train(model, context, *rest)

    train = run_module.train
    monkeypatch.setattr(run_module, "train", spy)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_a_run_writes_the_facts_of_its_sessions(name: str, small: Path, settings: RunSettings) -> None:
    artefact, prepared = make(system(small, name), settings)
    assert sorted(path.name for path in artefact.folder.iterdir()) == sorted(FILES)
    manifest, rows = artefact.manifest, artefact.per_user()
    assert (manifest["task"], manifest["model"]) == ("interactive", f"{name} on itemknn")
    assert {"base", "lexicon", "data", "split", "config", "code"} <= set(manifest["fingerprints"])
    (base,) = manifest["inputs"]
    assert (base["kind"], base["model"], base["seed"]) == ("base", "itemknn", 0)
    assert len(manifest["vault_openings"]) == 1
    assert manifest["protocol_id"].startswith("interactive/sampled-20/noise-free/")
    assert manifest["lexicon"]["words"] > 10
    for part in ("valid", "test"):
        mine = rows[rows["part"] == part]
        facts = manifest["sessions"][part]
        assert facts["held"] == len(mine) > 10
        assert facts["without_wanted"] == 0
        assert (facts["wanted_per_session"], facts["candidates_per_session"]) == (3, 20)
        assert set(mine["n_truth"]) == {3}
        for metric, value in artefact.metrics[part].items():
            assert mine[metric].mean() == pytest.approx(value, abs=1e-12)
    held = prepared.split.test.open("a test", VaultLedger())
    ids = prepared.dataset.user_ids[np.unique(held.users)]
    assert sorted(rows[rows["part"] == "test"]["user_id"]) == sorted(ids)


def test_a_base_is_a_path_or_sections_or_a_run(small: Path, settings: RunSettings, trainings: list[Any]) -> None:
    for sections in (KNN, MF):
        trainings.clear()
        path = write_base(small, sections=sections)
        inline, _ = make(system(small, base=sections), settings)
        named, _ = make(system(small, base=path.name), settings)
        assert inline.folder == named.folder
        assert [name for name, _ in trainings] == ["ItemKNN" if sections == KNN else "MF", "CORE"]
        base = inline.manifest["inputs"][0]["fingerprint"]
        (folder,) = (file.parent for file in settings.out.rglob("manifest.json") if base in str(file))
        of_run, _ = make(system(small, base=str(folder)), settings)
        assert of_run.metrics == inline.metrics
        assert of_run.manifest["fingerprints"]["base"] == inline.manifest["fingerprints"]["base"]
        written = small / "again.yaml"
        written.write_bytes((of_run.folder / "config.yaml").read_bytes())
        again = load_experiment(written)
        assert run_key(again, Preparer(None)(again), 0).folder(settings.out) == of_run.folder


def test_systems_around_one_base_share_it(small: Path, settings: RunSettings, trainings: list[Any]) -> None:
    found = [make(system(small, name, MF), settings)[0] for name in ("item-only", "core", "magus")]
    assert [name for name, _ in trainings] == ["MF", "ItemOnly", "CORE", "MAGUS"]
    assert len({one.manifest["fingerprints"]["base"] for one in found}) == 1
    other, _ = make(system(small, "core", MF[:-1] + ", seed: 1}"), settings)
    assert [name for name, _ in trainings][-2:] == ["MF", "CORE"]
    assert other.manifest["inputs"][0]["seed"] == 1
    assert other.metrics != found[1].metrics
    two, _ = make(system(small, "core", MF), settings, seed=1)
    assert two.metrics == found[1].metrics, "the seed of a run is not that of its base"


def test_the_base_sees_nothing_that_is_held_out_and_weights_learn_from_offline_users(
    small: Path, settings: RunSettings, trainings: list[Any]
) -> None:
    _, prepared = make(system(small, "magus", MF), settings)
    split = prepared.split
    held = {*split.valid.keys().tolist(), *split.test.open("a test", VaultLedger()).keys().tolist()}
    (_, of_base), (_, of_system) = trainings
    assert set(of_base.train.keys().tolist()) == set(split.train.keys().tolist())
    assert not held & set(of_base.train.keys().tolist())
    online = {key // split.train.n_items for key in held}
    assert len(online) > 20
    assert not online & set(of_system.train.users.tolist())
    offline = ~np.isin(split.train.users, list(online))
    assert of_system.train.fingerprint() == split.train.select(offline).fingerprint()


class Changed:
    """The prepared data of an experiment, with some users' known rows exchanged for others."""

    def __init__(self, prepared: Prepared, users: np.ndarray) -> None:
        payload: Interactions = prepared.dataset.payload
        rng, items = np.random.default_rng(0), payload.items.copy()
        for user in users:
            rows = payload.users == user
            items[rows] = rng.permutation(payload.n_items)[: rows.sum()]
        dataset = dataclasses.replace(prepared.dataset, payload=dataclasses.replace(payload, items=items))
        split = make_split(dataset.payload, OnlineUsers(valid_users=0.2))
        self.prepared = dataclasses.replace(prepared, load=lambda: dataset, split=split)


def test_rows_of_online_users_move_no_weight(small: Path, settings: RunSettings) -> None:
    """One epoch, so that validation selects nothing; the base has no say in the loss."""
    experiment = system(small, "magus", KNN, trainer="{max_epochs: 1, batch_size: 256}")
    prepared = Preparer(None)(experiment)
    parts = OnlineUsers(valid_users=0.2).parts_of_users(prepared.dataset.payload)
    key, found = run_key(experiment, prepared, 0), []
    for number, users in enumerate(
        (np.zeros(0, int), np.flatnonzero(parts != TRAIN), np.flatnonzero(parts == TRAIN)[:5])
    ):
        out = dataclasses.replace(settings, out=settings.out / str(number))
        changed = Changed(prepared, users).prepared
        artefact = run(experiment, changed, key, out)
        found.append((load_file(artefact.folder / "model.safetensors"), artefact.metrics["test"]))
    (plain, before), (same, after), (other, _) = found
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert before != after
    assert any(not torch.equal(plain[name], other[name]) for name in plain)


@pytest.mark.parametrize("name", ["core", "magus"])
def test_shuffled_test_rows_change_nothing_before_the_opening(name: str, small: Path, settings: RunSettings) -> None:
    experiment = system(small, name, MF)
    prepared = Preparer(None)(experiment)
    key, found = run_key(experiment, prepared, 0), []
    for number in range(2):
        truth = prepared.split.test.open("test", VaultLedger())
        if number:
            had = prepared.split.train.matrix().toarray() > 0
            free = np.array([np.flatnonzero(~had[user])[:3] for user in np.unique(truth.users)])
            truth = dataclasses.replace(truth, items=free.reshape(-1).astype(np.int64))
        split = dataclasses.replace(prepared.split, test=SealedTest(truth))
        out = dataclasses.replace(settings, out=settings.out / str(number))
        ready = dataclasses.replace(prepared, split=split)
        stage = prepared.first_stage
        assert stage is not None
        of_base = dataclasses.replace(stage, prepared=dataclasses.replace(stage.prepared, split=split))
        found.append(run(experiment, dataclasses.replace(ready, first_stage=of_base), key, out))
    one, two = found
    assert one.metrics["valid"] == two.metrics["valid"]
    assert one.metrics["test"] != two.metrics["test"]
    weights = [load_file(artefact.folder / "model.safetensors") for artefact in found]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    shown = [artefact.rankings().query("part == 'valid'").reset_index(drop=True) for artefact in found]
    pd.testing.assert_frame_equal(shown[0], shown[1])


class Interrupt(SilentObserver):
    """Ends the process after some epochs of a model that is trained."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_epoch(self, record: EpochRecord) -> None:
        if record.loss is not None and "queries" in record.terms and record.epoch + 1 == self.after:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_to_the_same_end(small: Path, settings: RunSettings) -> None:
    trainer = "{max_epochs: 4, batch_size: 256, learning_rate: 0.05, checkpoint_seconds: 0.001}"
    experiment = system(small, "magus", MF, trainer=trainer)
    whole, _ = make(experiment, dataclasses.replace(settings, out=settings.out / "whole"))
    broken = dataclasses.replace(settings, out=settings.out / "broken", resume=True)
    with pytest.raises(KeyboardInterrupt):
        make(experiment, broken, observer=Interrupt(3))
    resumed, _ = make(experiment, broken)
    assert resumed.metrics == whole.metrics
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert (resumed.folder / "rankings.parquet").read_bytes() == (whole.folder / "rankings.parquet").read_bytes()


def test_a_stale_base_is_made_again_or_reused_if_asked(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch, trainings: list[Any]
) -> None:
    _, prepared = make(system(small), settings)
    stage = prepared.first_stage
    assert stage is not None
    digest = stage.key.manifest(stage.key.folder(settings.out))["fingerprints"]["code"]
    monkeypatch.setattr(folders, "code_digest", lambda: "0" * len(digest))
    assert stage.key.state(settings.out) == "stale"
    reused, _ = make(system(small, "item-only"), dataclasses.replace(settings, reuse_stale=True))
    assert reused.manifest["inputs"][0]["code"] == digest
    make(system(small, "query-only"), settings)
    assert [name for name, _ in trainings] == ["ItemKNN", "CORE", "ItemOnly", "ItemKNN", "QueryOnly"]


# --- what is refused


def test_a_run_of_other_data_or_another_split_is_refused(small: Path, settings: RunSettings) -> None:
    base, _ = make(load_experiment(write_base(small)), settings)
    assert make(system(small, base=str(base.folder)), settings)[0].manifest["inputs"][0]["model"] == "itemknn"
    other, _ = make(load_experiment(write_base(small, "{name: online-users, seed: 5}", name="other")), settings)
    with pytest.raises(ConfigError, match=r"inputs\.base: was run on another split"):
        system(small, base=str(other.folder))
    card = small / "small.yaml"
    card.write_text(card.read_text().replace("n_users: 120", "n_users: 121"), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"its fingerprint is .* Run it again, or name its YAML under inputs\.base"):
        Preparer(None)(system(small, base=str(base.folder)))


def test_folders_that_hold_no_base_are_refused(small: Path, settings: RunSettings) -> None:
    sessions, _ = make(system(small), settings)
    for base, message in (
        (str(sessions.folder), "a first stage retrieves; model 'core' solves the task 'interactive'"),
        (str(small / "nowhere"), r"inputs\.base"),
        ("{model: magus}", "a first stage retrieves"),
        ("{model: itemknn, select_by: success}", "select_by"),
        ("{trainer: {}}", r"inputs\.base\.model"),
    ):
        with pytest.raises(ConfigError, match=message):
            system(small, base=base)
    broken, _ = make(load_experiment(write_base(small)), settings)
    (broken.folder / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtefactError, match="was changed or cut short"):
        Preparer(None)(system(small, base=str(broken.folder)))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"base": None}, r"model 'core' works around a retrieval model; name it under inputs\.base"),
        ({"trainer": SHORT}, "the section 'trainer' would do nothing"),
        ({"more": "retriever: {backend: torch}\n"}, "the section 'retriever' would do nothing"),
        ({"protocol": "{split: random-811}"}, r"protocol\.split is online-users; got random-811"),
        ({"protocol": "{candidates: ful}"}, "did you mean 'full'"),
        ({"protocol": SESSIONS.replace("[2, 4]", "[2, 4], cold_users: keep")}, "cold_users"),
        ({"model": "core, ask: fields"}, "ask"),
        ({"model": "magus-fixed, alpha: 0, n_steps: 3"}, "n_steps would do nothing; remove it"),
    ],
)
def test_settings_that_cannot_be_are_refused(small: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        system(small, **keys)


def test_a_base_is_for_interactive_systems_alone(small: Path) -> None:
    path = write_base(small)
    path.write_text(path.read_text() + f"inputs: {{base: {KNN}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model 'itemknn' holds no sessions, so inputs\.base would do nothing"):
        load_experiment(path)


def test_more_candidates_than_items_are_refused(small: Path) -> None:
    experiment = system(small, protocol=SESSIONS.replace("n: 20", "n: 91"))
    with pytest.raises(ProtocolError, match=rf"n is 91, and there are 90 items\. Lower it in {experiment.source}"):
        Preparer(None)(experiment)
    every = system(small, protocol="{candidates: full, slots: 91, cutoffs: [2], select_by: success@2}")
    with pytest.raises(ProtocolError, match=r"protocol\.slots is 91, and there are 90 items\. Lower it in"):
        Preparer(None)(every)


def test_data_without_words_or_time_are_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    plain = "{split: {name: online-users, choose: random}, candidates: {name: sampled, n: 10}}"
    experiment = system(tmp_path, dataset="card: tiny.yaml", protocol=plain)
    with pytest.raises(DataError, match="items have no words"):
        Preparer(None)(experiment)
    latest = system(tmp_path, dataset="card: tiny.yaml", protocol="{candidates: {name: sampled, n: 10}}")
    with pytest.raises(ProtocolError, match=r"set protocol\.split\.choose: random"):
        Preparer(None)(latest)


def test_words_of_no_use_are_refused(small: Path) -> None:
    for keys, message in (
        ("min_items: 80", r"of \d+ words are of use .* Lower protocol\.queries\.min_items"),
        ("fields: [colur]", "no words of the fields colur; there are: brand, colour"),
    ):
        protocol = SESSIONS.replace("min_items: 3", keys)
        with pytest.raises(DataError, match=message):
            Preparer(None)(system(small, protocol=protocol))


# --- logged queries

LOGGED = SESSIONS.replace("{name: mined, min_items: 3}", "{name: logged, file: queries.jsonl}")


def test_logged_queries_are_asked(small: Path, settings: RunSettings) -> None:
    mined, prepared = make(system(small), settings)
    words = prepared.dataset.items.words
    assert words is not None
    one, two = words.of_item(0)[:2], words.of_item(3)[1:4]
    never = [["colour", "crimson"], ["colour", "black"]]
    lines = [{"words": [list(word) for word in query], "user": "u7"} for query in (one, two, never, one)]
    (small / "queries.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    artefact, _ = make(system(small, protocol=LOGGED), settings)
    assert artefact.manifest["lexicon"]["compound_queries"] == 2
    assert "1 logged queries match no item and are left out" in artefact.manifest["lexicon"]["notes"]
    assert artefact.manifest["fingerprints"]["lexicon"] != mined.manifest["fingerprints"]["lexicon"]
    (small / "queries.jsonl").write_text(json.dumps(lines[0]), encoding="utf-8")
    other, _ = make(system(small, protocol=LOGGED), settings)
    assert other.folder != artefact.folder, "what a log holds is part of what a run is"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"queries\.jsonl"),
        (
            '{"words": [["colour", "black"]]}\n{"words": [["colour", "blak"]]}',
            r"line 2: .*'blak'.*did you mean 'black'",
        ),
        ('{"words": [["color", "black"]]}', r"line 1: unknown field 'color'; did you mean 'colour'"),
        ("", "holds no query"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused(small: Path, text: str | None, message: str) -> None:
    if text is not None:
        (small / "queries.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(MMRecBenchError, match=message) as error:
        Preparer(None)(system(small, protocol=LOGGED))
    assert "queries.jsonl" in str(error.value)


def test_the_station_offers_offline_users_alone(small: Path, settings: RunSettings) -> None:
    artefact, prepared = make(system(small), settings)
    stage = prepared.first_stage
    assert stage is not None
    base = RunArtefact.load(stage.key.folder(settings.out))
    experiment = load_experiment(write_system(small))
    station = InteractiveStation(experiment, dataclasses.replace(prepared, first_run=base), settings.device)
    _, context = station.build(0)
    report = artefact.manifest["split_report"]
    n_online = report["users"]["valid"] + report["users"]["test"]
    assert len(np.unique(context.train.users)) == report["users"]["train"] - n_online
