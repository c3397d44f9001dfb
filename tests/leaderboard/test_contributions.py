from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmrec_bench.leaderboard.contributions import contributions


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    known = tmp_path / "known"
    for name in ("one", "two"):
        (known / "track" / name / "lists").mkdir(parents=True)
        (known / "track" / name / "submission.json").write_text(name)
        (known / "track" / name / "verification.json").write_text("record")
    shutil.copytree(known, tmp_path / "incoming")
    return tmp_path / "incoming", known


def test_new_entries_are_found(folders: tuple[Path, Path]) -> None:
    incoming, known = folders
    (incoming / "track" / "three").mkdir()
    shutil.rmtree(incoming / "track" / "one")  # a branch that is behind lacks entries
    found = contributions(incoming, known)
    assert found.new == (incoming / "track" / "three",)
    assert found.problems == ()


def test_nothing_else_may_be_brought(folders: tuple[Path, Path], tmp_path: Path) -> None:
    incoming, known = folders
    (incoming / "track" / "three").mkdir()
    (incoming / "track" / "three" / "verification.json").write_text("{}")
    (incoming / "track" / "two" / "verification.json").write_text("another record")
    (incoming / "track" / "one" / "lists" / "more").symlink_to("/etc/passwd")
    (incoming / "notes.txt").write_text("hello")
    (incoming / "track" / "four").symlink_to(tmp_path)
    problems = "\n".join(contributions(incoming, known).problems)
    assert "'track/three': brings a verification.json" in problems
    assert "'track/two': differs from the entry" in problems
    assert "'track/one': differs from the entry" in problems
    assert "'notes.txt': is no folder" in problems
    assert "'track/four': is no folder" in problems
