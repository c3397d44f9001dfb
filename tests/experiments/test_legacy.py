"""Choosing on test: what it adds is shown from kept weights, in another process, and nothing that tunes can read it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.data.split import SealedTest
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.experiments.legacy import emulation as legacy
from mmrec_bench.experiments.legacy.emulation import Options, emulated, score
from mmrec_bench.experiments.legacy.folder import LegacyArtefact
from mmrec_bench.experiments.tuning.studies import StudyArtefact, find_studies
from mmrec_bench.experiments.tuning.study import Budget, Search
from mmrec_bench.reports.legacy import legacy_frame, legacy_table, selection_of

from .conftest import write_world
from .test_tuning import AXES, searched, write_space


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyArtefact:
    world = tmp_path_factory.mktemp("world")
    write_world(world)
    write_space(world, AXES)
    return searched(world, world / "runs", search=Search("random", "none"), budget=Budget(trials=5))


@pytest.fixture(scope="module")
def emulation(study: StudyArtefact, tmp_path_factory: pytest.TempPathFactory) -> LegacyArtefact:
    """Scored in a process of its own; in this one the vault stays shut."""

    def shut(*arguments: Any) -> None:
        raise AssertionError("the vault was opened in the process that asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SealedTest, "open", shut)
        return emulated(Options(str(study.folder), str(tmp_path_factory.mktemp("out")), threads=1))


def test_each_complete_trial_is_scored_once_under_its_own_purpose(
    study: StudyArtefact, emulation: LegacyArtefact
) -> None:
    facts = emulation.manifest
    assert facts["kind"] == "legacy-emulation"
    assert {opening["purpose"] for opening in facts["vault_openings"]} == {"legacy-emulation"}
    assert len(facts["vault_openings"]) == len(facts["trials"]) == study.manifest["spent"]["complete"] == 5
    for trial in facts["trials"]:
        assert trial["valid"] == trial["valid_again"], "the weights are those that were validated"
    users = emulation.users()
    for trial in facts["trials"]:
        own = users.loc[users["trial"] == trial["trial"], "score"]
        assert own.mean() == pytest.approx(trial["test"]["recall@10"])


def test_the_best_on_test_is_never_below_what_validation_chose(emulation: LegacyArtefact) -> None:
    found = selection_of(emulation)
    tests = {trial["trial"]: trial["test"]["recall@10"] for trial in emulation.manifest["trials"]}
    chosen, best = found.scores
    assert best == max(tests.values())
    assert chosen == tests[emulation.manifest["best"]["trial"]]
    assert found.bias == best - chosen >= 0
    table, frame = legacy_table([found]), legacy_frame([found])
    assert "Shown, never used" in table.note
    assert frame.loc[0, "bias"] == found.bias


def _made_up(emulation: LegacyArtefact, tests: dict[int, float]) -> LegacyArtefact:
    trials = [
        trial | {"test": {"recall@10": tests[trial["trial"]]}}
        for trial in emulation.manifest["trials"]
        if trial["trial"] in tests
    ]
    facts = {**emulation.manifest, "trials": trials, "best": {"trial": 0}}
    return dataclasses.replace(emulation, manifest=facts)


def test_a_known_bias_is_found_and_rounding_takes_the_first_of_equals(emulation: LegacyArtefact) -> None:
    world = _made_up(emulation, {0: 0.50, 1: 0.53001, 2: 0.53004, 3: 0.51})
    found = selection_of(world)
    assert (found.best["trial"], found.bias) == (2, pytest.approx(0.03004))
    assert found.interval is not None
    rounded = selection_of(world, decimals=4)
    assert (rounded.best["trial"], rounded.bias) == (1, pytest.approx(0.03001))
    same = selection_of(_made_up(emulation, {0: 0.50, 1: 0.4}))
    assert (same.bias, same.interval) == (0.0, None)


def test_no_tuner_and_no_report_of_results_finds_it(study: StudyArtefact, emulation: LegacyArtefact) -> None:
    root = emulation.folder.parents[3]
    assert find_studies([root]) == []
    with pytest.raises(ArtefactError, match="holds no run"):
        find_runs([root])
    manifest = json.loads((study.folder / "manifest.json").read_text())
    assert manifest["vault_openings"] == []
    assert "test" not in (study.folder / "trials.jsonl").read_text()


def test_what_is_there_is_not_scored_again(
    study: StudyArtefact, emulation: LegacyArtefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy.subprocess, "run", lambda *args, **kwargs: pytest.fail("a process was started"))
    assert emulated(Options(str(study.folder), str(emulation.folder.parents[3]))).manifest == emulation.manifest


@pytest.fixture
def weights(study: StudyArtefact) -> Any:
    """Lend the file of weights of trial 0, and put it back."""
    (folder,) = study.folder.parent.glob("*.weights")
    path = folder / "0.safetensors"
    content = path.read_bytes()
    yield path
    path.write_bytes(content)


@pytest.mark.parametrize(("change", "says"), [("gone", "has no weights"), ("other", "was changed since the trial")])
def test_missing_and_changed_weights_are_refused(
    study: StudyArtefact, weights: Path, tmp_path: Path, change: str, says: str
) -> None:
    if change == "gone":
        weights.unlink()
    else:
        weights.write_bytes((weights.parent / "1.safetensors").read_bytes())
    with pytest.raises(ArtefactError, match=says):
        emulated(Options(str(study.folder), str(tmp_path)))
    assert not list(tmp_path.rglob("manifest.json"))


def test_weights_of_other_code_are_refused_or_must_score_as_they_did(
    study: StudyArtefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "code_digest", lambda: "another")
    with pytest.raises(ArtefactError, match=r"made by other code .* --reuse-stale"):
        emulated(Options(str(study.folder), str(tmp_path)))
    monkeypatch.setattr(legacy, "TOLERANCE", -1.0)  # as if no score were near enough
    with pytest.raises(ArtefactError, match="What moved the one may move the other"):
        score(Options(str(study.folder), str(tmp_path), threads=1, reuse_stale=True))
    assert not list(tmp_path.rglob("manifest.json"))


def test_other_data_are_refused(study: StudyArtefact, tmp_path: Path) -> None:
    world = study.folder.parents[4]
    write_world(world, shuffle_test=True)
    try:
        with pytest.raises(ArtefactError, match="searched on other data: the digest of data"):
            emulated(Options(str(study.folder), str(tmp_path), threads=1))
    finally:
        write_world(world)
