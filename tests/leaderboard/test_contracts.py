from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.leaderboard.declared import check_declared
from mmrec_bench.leaderboard.documents import MAX_DEPTH, read_document, read_object
from mmrec_bench.leaderboard.findings import Findings
from mmrec_bench.leaderboard.folder import open_folder
from mmrec_bench.leaderboard.record import Check, FormOnly, Measured, VerificationRecord, Verifier, read_record
from mmrec_bench.leaderboard.submission import Submission
from mmrec_bench.leaderboard.track import Track, load_track, load_tracks
from mmrec_bench.settings import Document
from tests.leaderboard.packed import edit_json


def _submission(**changes: Any) -> dict[str, Any]:
    claim = {"recall@20": {"mean": 0.5, "sd": None, "n": 1}}
    stored = {"digest": "0" * 32, "bytes": 1}
    content = {
        "track": "synthetic-retrieval",
        "entry": "mine",
        "title": "Mine",
        "authors": ["A. Author"],
        "code": {"url": "https://example.org/mine", "commit": "0123abc"},
        "tier": "closed",
        "seeds": [0],
        "deterministic": True,
        "claimed": {"valid": claim, "test": claim},
        "files": dict.fromkeys(("card.json", "config.yaml", "lists/seed-0.parquet"), stored),
        "lists": {"stored": "git", "command": "mmrec-bench run config.yaml"},
    }
    return content | changes


def _record() -> VerificationRecord:
    measured = {"recall@20": Measured(mean=0.5, sd=None, n=1, per_seed=(0.5,))}
    return VerificationRecord(
        track="synthetic-retrieval",
        entry="mine",
        submission_digest="0" * 32,
        verifier=Verifier(version="1", code="c"),
        metric_versions={"recall": 1},
        status="list-verified",
        form_only=FormOnly(value=False, reason=""),
        checks=(Check(name="digests", verdict="pass", message="3 files"),),
        seeds=(0,),
        provisional=False,
        metrics={"valid": measured, "test": measured},
        slices={},
        n_parameters=0,
        hardware=(),
        tuning=None,
    ).sealed()


def test_submissions_survive_json() -> None:
    made = Document("submission.json", _submission()).parse(Submission)
    assert Submission.model_validate(json.loads(made.text())) == made
    assert made.list_files == {0: "lists/seed-0.parquet"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"entry": "../mine"}, "entry"),
        ({"entry": "Mine"}, "entry"),
        ({"title": "<script>alert(1)</script>"}, "without '<' and '>'"),
        ({"title": "a\u202eb"}, "RIGHT-TO-LEFT OVERRIDE"),
        ({"authors": ["a\nb"]}, "control characters"),
        ({"authors": []}, "authors"),
        ({"code": {"url": "javascript:alert(1)", "commit": "0123abc"}}, "code.url"),
        ({"files": _submission()["files"] | {"../x": {"digest": "0" * 32, "bytes": 1}}}, "'../x' is no file"),
        ({"files": {}}, "files: lacks card.json"),
        ({"seeds": [0, 0]}, "seeds must not repeat"),
        ({"external_data": ["ImageNet"]}, "declare tier open"),
        ({"claimed": {}}, "claimed"),
        ({"extra": 1}, "unknown key"),
    ],
)  # fmt: skip
def test_submissions_are_strict(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason.replace("(", r"\(")):
        Document("submission.json", _submission(**changes)).parse(Submission)


def test_records_show_that_they_were_changed(tmp_path: Path) -> None:
    path = tmp_path / "verification.json"
    path.write_text(_record().text())
    assert read_record(path) == _record()
    path.write_text(_record().text().replace("0.5", "0.6"))
    with pytest.raises(ArtefactError, match="was changed since it was written"):
        read_record(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "must hold a JSON object"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ("{" + '"a": [' * MAX_DEPTH + "]" * MAX_DEPTH + "}", "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("{", "is no JSON"),
        ('{"a": "' + "x" * (1 << 20) + '"}', "at most 1,048,576 are read"),
        ('{"a": ' + "9" * 5000 + "}", "is no JSON"),
    ],
)
def test_hostile_json_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(ArtefactError, match=reason):
        read_object(path)


def test_brackets_in_texts_are_no_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": '[{"\\' * 100}))
    assert read_object(path) == {"a": '[{"\\' * 100}


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    import os

    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ArtefactError, match="is a link"):
        read_object(tmp_path / "link.json")
    with pytest.raises(ArtefactError, match="no regular file"):
        read_object(tmp_path / "pipe.json")
    with pytest.raises(ConfigError, match="track: required"):
        read_document(tmp_path / "there.json", Submission)


def test_every_track_reads() -> None:
    tracks = load_tracks()
    assert {track.task for track in tracks.values()} == {"retrieval", "ranking", "interactive", "ctr"}
    assert all(name == track.name for name, track in tracks.items())
    assert not any(track.lists_in_git and not track.dataset.shipped for track in tracks.values())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headline": ["recal@20"]}, "did you mean 'recall@20'"),
        ({"depth": 20}, "depth must be the largest cutoff"),
        ({"task": "dreaming"}, "task"),
        ({"dataset": {"card": "synthetic", "shipped": True, "impressions": "shown"}}, "read by no other"),
    ],
)
def test_tracks_are_strict(changes: dict[str, Any], reason: str) -> None:
    content = {**load_track("synthetic-retrieval").model_dump(mode="json"), **changes}
    with pytest.raises(ConfigError, match=reason):
        Document("track", content).parse(Track)


def test_closed_rankers_learn_from_what_the_track_gives(tmp_path: Path) -> None:
    folder = tmp_path / "synthetic-ranking" / "mlp-labels"
    shutil.copytree(Path(__file__).parents[2] / "leaderboard/submissions/synthetic-ranking/mlp-labels", folder)

    def failures() -> list[str]:
        findings = Findings()
        opened = open_folder(folder, findings)
        assert opened is not None
        check_declared(opened, load_track("synthetic-ranking"), findings)
        return [f"{check.name}: {check.message}" for check in findings.checks if check.verdict == "fail"]

    assert failures() == []
    edit_json(folder / "submission.json", lambda told: told.update(tier="closed", external_data=[]))
    assert failures() == [
        "tier: config.yaml: model.learns_from is 'labels'; closed systems of the track learn from clicks"
    ]


def test_what_orders_no_systems_is_not_first_in_a_headline() -> None:
    content = load_track("synthetic-ctr").model_dump(mode="json")
    with pytest.raises(ConfigError, match="calibration orders no systems; begin with another metric"):
        Document("track", {**content, "headline": ["calibration", "auc"]}).parse(Track)
