from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.contributions import contributions


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    known = tmp_path / "known"
    for name in ("one", "two"):
        (known / "track" / name / "lists").mkdir(parents=True)
        (known / "track" / name / "lists" / "seed-0.parquet").touch()
        (known / "track" / name / "submission.json").write_text(name)
        (known / "track" / name / "verification.json").write_text("record")
    shutil.copytree(known, tmp_path / "incoming")
    return tmp_path / "incoming", known


def test_new_entries_are_found(folders: tuple[Path, Path]) -> None:
    incoming, known = folders
    shutil.copytree(incoming / "track" / "one", incoming / "track" / "three")
    (incoming / "track" / "three" / "verification.json").unlink()
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


def test_lists_that_stay_outside_git_are_not_brought(folders: tuple[Path, Path]) -> None:
    incoming, known = folders
    shutil.copytree(incoming / "track" / "one", incoming / "track" / "three")
    (incoming / "track" / "three" / "verification.json").unlink()
    (problem,) = contributions(incoming, known, ["track"]).problems
    assert problem == "'track/three': brings lists; lists of this track stay outside git. Take them away"
    shutil.rmtree(incoming / "track" / "three" / "lists")
    assert contributions(incoming, known, ["track"]).problems == ()


def test_entries_stay(folders: tuple[Path, Path]) -> None:
    incoming, known = folders
    shutil.rmtree(incoming / "track" / "one")
    (incoming / "track" / "two").rename(incoming / "track" / "renamed")
    found = contributions(incoming, known)
    assert [path.name for path in found.new] == ["renamed"]
    problems = "\n".join(found.problems)
    assert "'track/one': is deleted; entries stay" in problems
    assert "'track/two': is deleted; entries stay" in problems


def test_submodules_are_told(folders: tuple[Path, Path]) -> None:
    """Where git unpacks a submodule there is an empty folder, which it has for nothing else."""
    incoming, known = folders
    (incoming / "other-track").mkdir()
    (incoming / "track" / "three" / "lists").mkdir(parents=True)
    problems = "\n".join(contributions(incoming, known).problems)
    assert "'other-track': is empty" in problems
    assert "'track/three/lists': is empty" in problems


def test_nothing_new_is_no_success(folders: tuple[Path, Path]) -> None:
    incoming, known = folders
    assert contributions(incoming, known).problems == ("nothing is new: these are the entries that are there",)


@pytest.mark.parametrize("which", ["missing", "file", "link"])
def test_what_comes_in_is_a_folder(folders: tuple[Path, Path], tmp_path: Path, which: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(folders[1])
    with pytest.raises(ArtefactError, match=f"{which}: is "):
        contributions(tmp_path / which, folders[1])
    if which != "link":
        with pytest.raises(ArtefactError, match=f"{which}: is no folder"):
            contributions(folders[0], tmp_path / which)
