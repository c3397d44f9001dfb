"""The road of a newcomer: run, pack, verify, run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrec_bench.cli.app import app
from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.leaderboard.record import read_record

RUNNER = CliRunner()


def _call(*arguments: str | Path, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    _call("run", "configs/synthetic/popularity.yaml", "--out", folder / "runs", "--seed", "0")
    told = _call(
        "leaderboard", "pack", folder / "runs", "--track", "synthetic-retrieval", "--entry", "mine",
        "--author", "A. Author", "--code", "https://example.org/code@0123abc", "--out", folder / "submissions",
    )  # fmt: skip
    assert "submission: " in told
    return folder / "submissions" / "synthetic-retrieval" / "mine"


def test_a_newcomer_gets_a_verified_entry(entry: Path) -> None:
    assert "list-verified" in _call("leaderboard", "verify", entry)
    assert read_record(entry / "verification.json").status == "list-verified"
    assert "rerun-verified" in _call("leaderboard", "rerun", entry)
    told = _call("leaderboard", "verify", "--all", "--submissions", entry.parents[1])
    assert "rerun-verified" in told
    assert "kept from an older record: rerun (--fresh trusts none)" in told
    assert "audited" in _call("leaderboard", "audit", entry, "--by", "A. Reader, 2026-11-23, commit 0123abc")
    assert "audited" in _call("leaderboard", "verify", entry)
    told = _call("leaderboard", "verify", "--fresh", entry)
    assert "list-verified" in told
    assert "kept" not in told


def test_contributed_entries_are_verified_and_left_as_they_are(entry: Path, tmp_path: Path) -> None:
    (entry / "verification.json").unlink(missing_ok=True)
    command = ("leaderboard", "verify", "--contributed", entry.parents[1], "--submissions", tmp_path)
    assert "list-verified" in _call(*command)
    assert not (entry / "verification.json").exists()
    (entry / "verification.json").write_text("{}")
    assert "maintainers write the records" in _call(*command, code=1)
    (entry / "verification.json").unlink()


def test_a_refused_entry_is_told_by_the_exit_code(entry: Path, tmp_path: Path) -> None:
    (entry / "verification.json").unlink(missing_ok=True)
    (entry / "evil.py").write_text("raise SystemExit")
    told = _call("leaderboard", "verify", entry, code=1)
    assert "'evil.py': is no file of this submission" in told
    assert not (entry / "verification.json").exists()  # nothing is written where anything else lies
    (entry / "evil.py").unlink()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--entry", "Mine", "--entry: needs 1 to 64 lower-case letters, digits, '.', '_' and '-'"),
        (
            "--code",
            "git@example.org:code@0123abc",
            "--code https://...@COMMIT: needs an address that begins with https",
        ),
        ("--code", "https://example.org/code", "--code https://...@COMMIT: needs a commit, 7 to 64 hexadecimal digits"),
        ("--author", "", "--author: must hold a letter or a digit; got ''"),
        ("--lists-url", "http://example.org", "--lists-url: needs an address that begins with https"),
    ],
)
def test_what_may_not_be_packed_is_told_in_words_by_its_option(
    entry: Path, option: str, value: str, message: str
) -> None:
    options = {"--entry": "other", "--author": "A. Author", "--code": "0123abc", option: value}
    command = ["leaderboard", "pack", entry.parents[2] / "runs", "--track", "synthetic-retrieval"]
    command += ["--out", entry.parents[1], *(text for pair in options.items() for text in pair)]
    result = RUNNER.invoke(app, [str(argument) for argument in command])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert not (entry.parent / "other").exists()


def test_nothing_to_verify_is_told_without_a_traceback(tmp_path: Path) -> None:
    for option in ("--contributed", "--submissions"):
        result = RUNNER.invoke(app, ["leaderboard", "verify", "--contributed", str(tmp_path), option, "nowhere"])
        assert isinstance(result.exception, ArtefactError)
        assert "nowhere: is no folder" in str(result.exception)
    assert "nothing is new" in _call(
        "leaderboard", "verify", "--contributed", tmp_path, "--submissions", tmp_path, code=1
    )
    result = RUNNER.invoke(app, ["leaderboard", "verify", "--all", "--submissions", "nowhere"])
    assert isinstance(result.exception, ConfigError)
    assert "nowhere holds no <track>/<entry>/submission.json" in str(result.exception)
