"""A new or corrected metric reaches all stored entries, and whoever cannot be rescored is named."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmrec_bench.cli.rescoring
from mmrec_bench.errors import ArtefactError, DataError
from mmrec_bench.leaderboard import verify
from mmrec_bench.leaderboard.folder import write_record
from mmrec_bench.leaderboard.record import read_record
from mmrec_bench.leaderboard.rescore import rescore
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.leaderboard.versions import EVALUATOR, changed_metrics, metric_versions
from mmrec_bench.metrics.ranking import METRICS
from tests.leaderboard.packed import Board, edit_json, make_board, repack, small_world

ENTRIES = ["ctr/ctr", "interactive/interactive", "ranking/ranking", "retrieval/retrieval", "retrieval/trained"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """Entries of all tasks with their records."""
    folder = tmp_path_factory.mktemp("rescored")
    with small_world(folder):
        board = make_board(folder)
        for entry in ENTRIES:
            record = board.verification(board.root / entry).record
            assert record is not None
            assert record.status == "list-verified"
            write_record(board.root / entry, record.text())
        yield board


@pytest.fixture
def root(packed: Board, tmp_path: Path) -> Path:
    return shutil.copytree(packed.root, tmp_path / "submissions")


def _halved(monkeypatch: pytest.MonkeyPatch, name: str = "recall") -> None:
    """Correct a metric: a version later, it is half of what it was."""
    old = METRICS[name]
    curve = old.curve
    corrected = dataclasses.replace(
        old, version=old.version + 1, curve=lambda hits, n_relevant: curve(hits, n_relevant) / 2
    )
    monkeypatch.setitem(METRICS._entries, name, corrected)


def _rescored(root: Path, verification: Verification, **options: bool) -> dict[str, Any]:
    found = list(rescore(root, verification, **options))
    return {f"{one.path.parent.name}/{one.path.name}": one for one in found}


def _outcomes(root: Path, verification: Verification, **options: bool) -> dict[str, str]:
    return {name: one.outcome for name, one in _rescored(root, verification, **options).items()}


def test_nothing_is_done_where_nothing_has_changed(packed: Board, root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.json")}
    assert _outcomes(root, packed.verification) == dict.fromkeys(ENTRIES, "current")
    assert {path: path.read_bytes() for path in root.rglob("*.json")} == before


def test_all_records_can_be_made_again(packed: Board, root: Path) -> None:
    list(rescore(root, packed.verification, everything=True))  # flags of one entry hang on those beside it
    before = {path: path.read_bytes() for path in root.rglob("verification.json")}
    assert _outcomes(root, packed.verification, everything=True) == dict.fromkeys(ENTRIES, "rescored")
    assert {path: path.read_bytes() for path in before} == before


def test_a_corrected_metric_reaches_the_entries_that_hold_it(
    packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {name: read_record(root / name / "verification.json") for name in ENTRIES}
    _halved(monkeypatch)
    assert _outcomes(root, packed.verification, write=False) == {
        name: "stale" if name.startswith("retrieval") else "current" for name in ENTRIES
    }
    assert read_record(root / "retrieval/trained/verification.json") == old["retrieval/trained"]
    found = _rescored(root, packed.verification)
    for name in ENTRIES:
        new = read_record(root / name / "verification.json")
        if not name.startswith("retrieval"):
            assert new == old[name]
            continue
        assert found[name].changed == ("recall",)
        assert new.metric_versions == old[name].metric_versions | {"recall": METRICS["recall"].version}
        assert (new.status, new.submission_digest) == ("list-verified", old[name].submission_digest)
        for part in ("valid", "test"):
            for metric, measured in new.metrics[part].items():
                share = 2 if metric.startswith("recall") else 1
                assert np.array(measured.per_seed) * share == pytest.approx(old[name].metrics[part][metric].per_seed)
        before = old[name].metrics["test"]["recall@10"].mean
        assert found[name].moved == {"recall@10": (before, pytest.approx(before / 2))}
    assert set(_outcomes(root, packed.verification).values()) == {"current"}


def test_a_rescored_entry_can_be_verified_again(packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims of what was corrected are not held against their authors; all others are."""
    _halved(monkeypatch)
    list(rescore(root, packed.verification))
    path = root / "retrieval/retrieval"
    verified = packed.verification(path)
    assert not verified.refused
    claims = next(check.message for check in verified.checks if check.name == "claims")
    assert claims.endswith("but for metrics that have changed since: recall")
    edit_json(path / "submission.json", lambda content: content["claimed"]["test"]["mrr@5"].update(mean=0.5))
    messages = [check.message for check in packed.verification(path).checks if check.verdict == "fail"]
    assert any("test mrr@5 is claimed as 0.5" in message for message in messages)


def test_older_versions_are_no_way_around_the_claims(packed: Board, root: Path) -> None:
    """Whoever tells other versions than today's is refused, unless an earlier record knows the very submission."""
    path = root / "retrieval/retrieval"

    def forged(content: Any) -> None:
        del content["metric_versions"]["recall"]
        content["claimed"]["test"]["recall@5"]["mean"] = 0.9

    edit_json(path / "submission.json", forged)
    messages = [check.message for check in packed.verification(path).checks if check.verdict == "fail"]
    assert any("not those of today (recall), and no earlier record knows this submission" in one for one in messages)


def test_without_versions_claims_are_of_today(packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _halved(monkeypatch)
    path = root / "retrieval/retrieval"
    edit_json(path / "submission.json", lambda content: content.update(metric_versions={}))
    messages = [check.message for check in packed.verification(path).checks if check.verdict == "fail"]
    assert any("recall@10 is claimed as" in message for message in messages)
    assert any("protocol.id is" in message for message in messages)


def _with_metrics(track: Track, *metrics: str) -> Track:
    return track.model_copy(update={"protocol": track.protocol.model_copy(update={"metrics": metrics})})


def test_a_new_metric_reaches_all_entries_of_a_track(packed: Board, root: Path) -> None:
    track = packed.tracks["ranking"]
    tracks = {**packed.tracks, "ranking": _with_metrics(track, *track.protocol.metrics, "recall")}  # type: ignore[attr-defined]
    found = _rescored(root, Verification(None, tracks=tracks))
    assert found["ranking/ranking"].changed == ("recall",)
    assert found["ranking/ranking"].outcome == "rescored"
    record = read_record(root / "ranking/ranking/verification.json")
    assert 0 < record.metrics["test"]["recall@3"].mean < 1
    assert not Verification(None, tracks=tracks)(root / "ranking/ranking").refused


def test_a_changed_protocol_is_no_rescoring(packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists are those of another split; whatever the metrics are, they stay refused, and the record as it was."""
    track = packed.tracks["retrieval"]
    split = type(track.protocol.split).model_validate({"name": "random-811", "seed": 9})
    other = track.model_copy(update={"protocol": track.protocol.model_copy(update={"split": split})})
    _halved(monkeypatch)
    before = (root / "retrieval/trained/verification.json").read_bytes()
    found = _rescored(root, Verification(None, tracks={**packed.tracks, "retrieval": other}))
    assert found["retrieval/trained"].outcome == "failed"
    assert "protocol.split.seed is '0', not '9'" in found["retrieval/trained"].reason
    assert (root / "retrieval/trained/verification.json").read_bytes() == before


def test_another_evaluator_changes_every_number(packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmrec_bench.evaluation import ctr_protocol

    monkeypatch.setattr(ctr_protocol, "EVALUATOR_VERSION", 2)
    found = _rescored(root, packed.verification)
    assert {name for name, one in found.items() if one.outcome == "rescored"} == {"ctr/ctr"}
    assert found["ctr/ctr"].changed == tuple(sorted(metric_versions(packed.tracks["ctr"])))
    assert EVALUATOR in found["ctr/ctr"].changed


def test_lists_kept_outside_are_told_and_their_numbers_stay(
    packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "retrieval/trained"
    elsewhere = packed.tracks["retrieval"].model_copy(update={"lists_in_git": False})
    monkeypatch.setitem(packed.verification.tracks, "retrieval", elsewhere)  # type: ignore[arg-type]
    for folder in (root / "retrieval/retrieval", path):
        edit_json(folder / "submission.json", lambda content: content["lists"].update(stored="outside"))
        repack(folder)
        record = packed.verification(folder).record
        assert record is not None
        write_record(folder, record.text())
    shutil.rmtree(path / "lists")
    _halved(monkeypatch)
    found = _rescored(root, packed.verification)
    assert (found["retrieval/trained"].outcome, found["retrieval/retrieval"].outcome) == ("not rescored", "rescored")
    assert (
        "the lists are stored outside; fetch them, or make them: its authors say" in found["retrieval/trained"].reason
    )
    assert read_record(path / "verification.json") == record
    assert _outcomes(root, packed.verification)["retrieval/trained"] == "not rescored"


def test_missing_data_are_told(packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise DataError("data set 'small': was not found")

    _halved(monkeypatch)
    monkeypatch.setattr(verify, "load_truth", missing)
    found = _rescored(root, Verification(None, tracks=packed.tracks))
    assert found["retrieval/trained"].outcome == "not rescored"
    assert "the data are not there" in found["retrieval/trained"].reason


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "lists": (lambda path: (path / "lists/seed-0.parquet").write_bytes(b"x"), "has 1 bytes"),
    "record": (
        lambda path: edit_json(path / "verification.json", lambda content: content.update(provisional=True)),
        "was changed since it was written",
    ),
    "link": (lambda path: (path / "lists/more").symlink_to(path), "is a link"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_entries_fail_and_keep_their_record(
    case: str, packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, message = DAMAGE[case]
    path = root / "retrieval/retrieval"
    damage(path)
    before = (path / "verification.json").read_bytes()
    _halved(monkeypatch)
    found = _rescored(root, packed.verification)
    assert (found["retrieval/retrieval"].outcome, found["retrieval/trained"].outcome) == ("failed", "rescored")
    assert message in found["retrieval/retrieval"].reason
    assert (path / "verification.json").read_bytes() == before


def test_versions_to_come_and_tracks_that_are_gone(packed: Board, root: Path) -> None:
    path = root / "ctr/ctr"
    edit_json(path / "submission.json", lambda content: content["metric_versions"].update(auc=7))
    messages = [check.message for check in packed.verification(path).checks if check.verdict == "fail"]
    assert any("metric_versions: auc is of version 7, which comes after 1" in message for message in messages)
    tracks = {name: track for name, track in packed.tracks.items() if name != "ranking"}
    found = _rescored(root, Verification(None, tracks=tracks))
    assert (found["ranking/ranking"].outcome, found["ranking/ranking"].reason) == (
        "failed",
        "there is no track ranking",
    )
    with pytest.raises(ArtefactError, match="no such folder"):
        list(rescore(root / "nowhere", packed.verification))


def test_what_has_changed_is_new_gone_or_of_another_version(packed: Board) -> None:
    track = packed.tracks["ctr"]
    today = metric_versions(track)
    assert changed_metrics(today, track) == changed_metrics({}, track) == frozenset()
    assert changed_metrics(today | {"auc": 7}, track) == {"auc"}
    assert changed_metrics(today | {"lift": 1}, track) == {"lift"}
    assert changed_metrics({name: version for name, version in today.items() if name != "gauc"}, track) == {"gauc"}


def test_the_command(
    packed: Board, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    command = mmrec_bench.cli.rescoring
    monkeypatch.setattr(command, "Verification", lambda _: packed.verification)
    command.rescore(root, check=True, threads=1)
    assert "5 records: 5 current" in capsys.readouterr().out
    _halved(monkeypatch)
    with pytest.raises(typer.Exit):
        command.rescore(root, check=True, threads=1)
    assert "stale" in capsys.readouterr().out
    command.rescore(root, threads=1)
    told = capsys.readouterr().out
    assert "retrieval/trained" in told
    assert "rescored" in told
    assert "5 records: 3 current, 2 rescored" in told
