"""The probe: what it measures, what it may look at, and where its results may stand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.leaked import LeakLedger
from mmrec_bench.data.points import Points
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ArtefactError, ConfigError, ProtocolError
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.experiments.lis.bed import Slot, TestBed, table_of
from mmrec_bench.experiments.lis.config import load_lis
from mmrec_bench.experiments.lis.features import aligned, feature_sets, measure_features
from mmrec_bench.experiments.lis.leaks import Sources, given_by, next_items
from mmrec_bench.experiments.lis.probe import Probe, probe_all
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.models.ctr.base import Extra
from mmrec_bench.reports.collect import collect
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.seeding import Seeds
from tests.experiments.probes import FEATURES, small_probe, with_another_future, write_probe

CPU = torch.device("cpu")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(tmp_path / "runs", CPU, torch.get_num_threads())


def _report(folder: Path, settings: RunSettings, **sections: str) -> LisReport:
    loaded, _ = small_probe(folder, **sections)
    preparer = Preparer(None)
    probe, artefacts = probe_all(loaded, preparer, settings, lambda seed, name: None)
    sets = feature_sets(probe, preparer, settings)
    measured = {each.name: [measure_features(probe, each, one, settings) for one in artefacts] for each in sets}
    return LisReport("LIS", "test", loaded.config, artefacts, measured)


def test_every_leak_control_and_set_of_features_has_a_row(tmp_path: Path, settings: RunSettings) -> None:
    report = _report(tmp_path, settings, features=FEATURES, more="seeds: [0, 1]\n")
    names = [row.variant.name for row in report.rows]
    assert len(names) == len(set(names)) == 2 * (2 + 4) + 4 + 4 + 3
    by_name = {row.variant.name: row for row in report.rows}
    own = by_name["id-embedding/replace/own"].impact
    assert own.per_seed == (0.0, 0.0)
    assert own.interval == (0.0, 0.0)
    assert report.bounds == [by_name["id-embedding/replace/40d"], by_name["id-embedding/add/40d"]]
    written = report.write(tmp_path / "reports")
    text = written[0].read_text(encoding="utf-8")
    assert "| id-embedding | add | 40 |" in text
    assert "known users" in text
    assert "AIS / LIS (add)" in text
    assert text.count("n = 2 seeds") == 3
    assert len(written[1].read_text(encoding="utf-8").splitlines()) == 1 + sum(len(row.impacts) for row in report.rows)
    assert "<svg" in written[2].read_text(encoding="utf-8")


def test_nothing_is_said_of_a_slice_of_one_user(tmp_path: Path, settings: RunSettings) -> None:
    report = _report(tmp_path, settings)
    (table,) = report.tables
    assert "mean over n = 1 seed. " in report.lis_table().note
    clicks = table.groupby("user_id")["label"].agg(["min", "max"])
    both = clicks.index[(clicks["min"] == 0) & (clicks["max"] == 1)]
    assert len(both) >= 2
    for users, slices in ((both[:1], {"all", "new users"}), (both[:2], {"all", "known users", "new users"})):
        other = LisReport(report.title, report.command, report.config, report.seeds, {})
        other.__dict__["tables"] = [table.assign(known_user=table["user_id"].isin(users))]
        assert set(other.rows[0].impacts) == slices


def test_folders_carry_the_marker_and_stand_in_no_table(tmp_path: Path, settings: RunSettings) -> None:
    report = _report(tmp_path, settings)
    artefact = report.seeds[0]
    assert {"kind": "id-embedding", "days": 40.0} in artefact.manifest["leak"]
    assert len(artefact.manifest["vault_openings"]) == 1
    with pytest.raises(ArtefactError, match="holds no run"):
        find_runs([settings.out])
    base = tmp_path / "fm.yaml"
    base.write_text(
        "schema_version: 1\ndataset: {card: small.yaml, impressions: shown}\nprotocol: {split: time-window}\n"
        "model: item-rate\n",
        encoding="utf-8",
    )
    experiment = load_experiment(base)
    from mmrec_bench.experiments.prepare import run_key
    from mmrec_bench.experiments.run import run

    prepared = Preparer(None)(experiment)
    honest = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
    assert collect([(None, honest)])
    tainted = dataclasses.replace(honest, manifest={**honest.manifest, "leak": artefact.manifest["leak"]})
    with pytest.raises(ArtefactError, match="behind the cut"):
        collect([(None, tainted)])


def test_what_is_there_is_not_made_again_and_repeats_to_the_bit(tmp_path: Path, settings: RunSettings) -> None:
    first = _report(tmp_path, settings).seeds[0]
    before = (first.folder / "manifest.json").stat().st_mtime_ns
    assert (_report(tmp_path, settings).seeds[0].folder / "manifest.json").stat().st_mtime_ns == before
    again = _report(tmp_path, dataclasses.replace(settings, out=tmp_path / "again")).seeds[0]
    assert again.manifest["files"] | {"config.yaml": 0, "history.jsonl": 0} == (
        first.manifest["files"] | {"config.yaml": 0, "history.jsonl": 0}
    )


def _sources(probe: Probe) -> tuple[Sources, dict[str, Any]]:
    bed = TestBed(probe.config, probe.prepared, 0, CPU)
    base, _ = bed.base()
    current = bed.updated(base).state_dict()
    judged: Points = probe.prepared.split.test.open("test", VaultLedger())

    def other() -> np.ndarray:
        stranger = TestBed(probe.config, probe.prepared, 1, CPU)
        return table_of(stranger.updated(stranger.base()[0]))

    own = current["fields.items.weight"].numpy()
    sources = Sources(bed, probe.leaked_split(), LeakLedger(), judged, current, own, other, Seeds(0))
    return sources, base


def _moved(probe: Probe) -> dict[str, dict[str, np.ndarray]]:
    """Return everything that is trained or made for a probe: weights of models, tables, slots; by name of variant."""
    sources, base = _sources(probe)
    found: dict[str, dict[str, Any]] = {"base": base, "M_T": dict(sources.current)}
    for leak in probe.config.leaks:
        for given in given_by(leak, sources):
            facts: dict[str, Any] = {"leaked": np.array(given.leak is not None)}
            if given.table is not None:
                facts["table"] = given.table
            else:
                assert given.slot is not None
                facts["update"] = given.slot.update.values
                if given.slot.judged.by == "item":
                    facts["judged"] = given.slot.judged.values
                facts |= sources.bed.updated(base, given.slot).state_dict()
            found[given.variant.name] = facts
    preparer = Preparer(None)
    for each in feature_sets(probe, preparer, RunSettings(Path("unused"), CPU, 1)):
        vectors, facts = each.vectors, {}
        if each.config.align is not None:
            vectors, _ = aligned(each.config.align, vectors, sources.own, sources.bed.before, 0, CPU)
        slot = Slot.of_items(Extra.of_vectors(vectors))
        facts = {"vectors": vectors, **sources.bed.updated(base, slot).state_dict()}
        found[f"features/{each.name}"] = facts
    return found


def test_nothing_honest_reads_anything_at_or_after_the_cut(tmp_path: Path) -> None:
    _, probe = small_probe(tmp_path, features=FEATURES)
    one, other = _moved(probe), _moved(with_another_future(probe))
    assert one.keys() == other.keys()
    honest = leaked = 0
    for name in one:
        same = all(np.array_equal(np.asarray(one[name][key]), np.asarray(other[name][key])) for key in one[name])
        if "leaked" in one[name] and one[name]["leaked"]:
            assert not same, f"{name} is a leak, and a changed future changes nothing in it"
            leaked += 1
        else:
            assert same, f"{name} must not hang on what happens at the cut or later"
            honest += 1
    assert honest == 2 + 2 * 3 + 2 + 2 + 3  # base, M_T, three controls in two modes, two and two, features
    assert leaked == 2 * 3 + 2 + 2


def test_honest_models_serve_other_futures_alike(tmp_path: Path) -> None:
    _, probe = small_probe(tmp_path)
    (one, base), (other, _) = _sources(probe), _sources(with_another_future(probe))
    model = one.bed.updated(base)
    assert not np.array_equal(one.judged.labels, other.judged.labels)
    flipped = dataclasses.replace(one.judged, labels=(1 - one.judged.labels).astype(np.int8))
    assert (one.bed.probabilities(model, one.judged) == other.bed.probabilities(model, flipped)).all()


def _slow_next(points: Points, log: Points, itself: bool) -> list[int]:
    found = []
    for user, item, time in zip(points.users, points.items, points.timestamps, strict=True):
        later = [
            int(log.items[j])
            for j in range(len(log))
            if log.users[j] == user and log.labels[j] and log.timestamps[j] > time and (itself or log.items[j] != item)
        ]
        found.append(later[0] if later else -1)
    return found


@pytest.mark.parametrize("itself", [True, False])
def test_next_items_come_strictly_after(itself: bool) -> None:
    rng = np.random.default_rng(1)
    n = 150
    log = Points(
        rng.integers(5, size=n), rng.integers(3, size=n), rng.integers(2, size=n).astype(np.int8),
        np.sort(rng.integers(20, size=n)), 6, 4, "",
    )  # fmt: skip
    points = log.select(log.timestamps > 4)
    assert next_items(points, log, itself).tolist() == _slow_next(points, log, itself)
    silent = dataclasses.replace(log, labels=np.zeros(n, np.int8))
    assert (next_items(points, silent, itself) == -1).all()


@pytest.mark.parametrize(
    ("leaks", "message"),
    [
        ("leaks: [{name: id-embedding}]\n", "'id-embedding' needs controls"),
        ("leaks: [{name: neighbours, modes: [replace], controls: [honest]}]\n", "are among add"),
        ("leaks: [{name: next-item, controls: [own]}]\n", "are among honest, random, shuffled"),
        ("leaks: [{name: next-item, days: [9.0, 3.0], controls: [honest]}]\n", "must rise"),
        ("leaks: [{name: next-itm, controls: [honest]}]\n", "did you mean 'next-item'"),
        ("leaks: []\n", "leaks"),
    ],
)
def test_probes_that_say_nothing_are_refused(tmp_path: Path, leaks: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_lis(write_probe(tmp_path, leaks=leaks))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model={name: item-rate}", "has no item vectors; choose dcn-v2"),
        ("model={name: deepfm, extra: image}", "remove model.extra"),
        ("protocol={split: random-811}", "must be time-window"),
        ("dataset.impressions=null", "needs dataset.impressions"),
        ("protocol.metrics=[auc]", "protocol.metrics would do nothing"),
        ("n_draws=39", "n_draws: .*40"),
        ("features={image: {tables: [image], alter: [{name: masked, modality: text, ratio: 0.5}]}}", "not among"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, override: str, message: str) -> None:
    path = write_probe(tmp_path)
    with pytest.raises(ConfigError, match=message):
        load_lis(path, (override,))


def test_horizons_beyond_the_data_and_windows_of_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="400 days lies beyond the data"):
        small_probe(tmp_path, leaks="leaks: [{name: next-item, days: [400.0], controls: [honest]}]\n")
    loaded, probe = small_probe(tmp_path)
    late = probe.points.timestamps >= probe.leaked_split().cut
    clicked = dataclasses.replace(probe.points, labels=np.where(late, 1, probe.points.labels).astype(np.int8))
    from mmrec_bench.data.splitting import make_point_split

    with pytest.raises(ProtocolError, match="'test' have label 1"):
        make_point_split(clicked, loaded.config.protocol.split)


def test_a_probe_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mmrec-bench lis"):
        load_experiment(write_probe(tmp_path))
    with pytest.raises(ConfigError, match="is no probe"):
        load_lis("synthetic-clicks/fm")


def test_resolved_configs_load_again(tmp_path: Path, settings: RunSettings) -> None:
    report = _report(tmp_path, settings)
    again = load_lis(report.seeds[0].folder / "config.yaml").config
    assert again.leaks == report.config.leaks
    assert json.loads(again.model_dump_json())["model"] == json.loads(report.config.model_dump_json())["model"]
