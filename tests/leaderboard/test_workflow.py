"""The workflow of pull requests: what it may do, and its own shell lines run against a repository on the disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.settings import load_yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = load_yaml(ROOT / ".github" / "workflows" / "leaderboard.yml").data
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["verify"]["steps"]
ENTRY = Path("leaderboard/submissions/synthetic-retrieval/popularity")
OTHER = Path("leaderboard/submissions/synthetic-retrieval/itemknn")
Change = Callable[[Path], None]


def test_it_runs_the_code_of_the_base_branch_alone_and_may_only_read() -> None:
    assert list(WORKFLOW["on"]) == ["pull_request"]  # `pull_request_target` would hand out secrets
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert STEPS[0]["with"] == {
        "ref": "${{ github.event.pull_request.base.sha }}",
        "persist-credentials": False,
    }
    assert [step["uses"].partition("@")[0] for step in STEPS if "uses" in step] == [
        "actions/checkout",
        "actions/setup-python",
    ]
    for step in STEPS:  # what others wrote would be run as shell lines
        assert "${{" not in step.get("run", "")


def _git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose board lacks an entry."""
    folder = tmp_path_factory.mktemp("host") / "team" / "repository"
    (folder / OTHER).parent.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / OTHER, folder / OTHER)
    _git(folder, "init", "--quiet", "--initial-branch", "main")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "base")
    return folder


def _step(name: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    lines = next(step["run"] for step in STEPS if step.get("name") == name)
    return subprocess.run(
        ["bash", "-e", "-c", lines],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _pull_request(repository: Path, tmp_path: Path, change: Change) -> subprocess.CompletedProcess[str]:
    """Make a pull request of a change, run the steps where the base branch is checked out, return the verification."""
    work, host = tmp_path / "work", repository.parents[1]
    _git(tmp_path, "clone", "--quiet", str(repository), str(work))
    change(work)
    _git(work, "checkout", "--quiet", "-b", "mine")
    _git(work, "add", "--all")
    _git(work, "commit", "--quiet", "--message", "an entry")
    _git(work, "push", "--quiet", "--force", "origin", "mine:refs/pull/7/head")
    base = tmp_path / "base"
    _git(tmp_path, "clone", "--quiet", "--branch", "main", str(repository), str(base))
    stamp = tmp_path / "installed"
    stamp.touch()
    incoming = tmp_path / "incoming"
    env = {
        "HEAD": "refs/pull/7/head",
        "INCOMING": str(incoming),
        "GITHUB_SERVER_URL": f"file://{host}",
        "GITHUB_REPOSITORY": "team/repository",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "MAKEFLAGS": f"-- BIN={Path(sys.executable).parent} STAMP={stamp}",  # the environment of the tests
    }
    fetched = _step("Submissions of the pull request, as data", base, env)
    assert fetched.returncode == 0, fetched.stderr
    assert [path.name for path in incoming.iterdir()] == ["leaderboard"]
    verified = _step("Verify", base, {**env, "INCOMING": str(incoming / "leaderboard" / "submissions")})
    assert _step("Summary", base, env).returncode == 0
    assert verified.stdout in (tmp_path / "summary.md").read_text(encoding="utf-8")
    return verified


def _add(work: Path) -> None:
    shutil.copytree(ROOT / ENTRY, work / ENTRY, ignore=shutil.ignore_patterns("verification.json"))
    (work / "Makefile").write_text("verify-contributions:\n\t@echo of the pull request\n", encoding="utf-8")


def _spoil(work: Path) -> None:
    """Change an entry that is there, bring one with a record and edited lists, and one with a link."""
    path = work / OTHER / "submission.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "title": "Another"}), encoding="utf-8")
    shutil.copytree(ROOT / ENTRY, work / ENTRY)
    lists = next((work / ENTRY / "lists").iterdir())
    lists.write_bytes(lists.read_bytes()[:-1] + b"x")
    (work / ENTRY.with_name("linked")).mkdir()
    (work / ENTRY.with_name("linked") / "submission.json").symlink_to("/etc/hostname")


def test_a_new_entry_is_verified_and_code_beside_it_is_not_run(repository: Path, tmp_path: Path) -> None:
    verified = _pull_request(repository, tmp_path, _add)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "of the pull request" not in verified.stdout
    assert "popularity: list-verified" in verified.stdout


def test_what_may_not_come_in_fails_with_all_its_reasons(repository: Path, tmp_path: Path) -> None:
    verified = _pull_request(repository, tmp_path, _spoil)
    assert verified.returncode != 0
    told = " ".join(verified.stdout.split())
    assert "itemknn': differs from the entry that is there; entries never change" in told
    assert "popularity': brings a verification.json; maintainers write the records" in told
    assert "fail digests: lists/seed-0.parquet: was changed since it was packed" in told
    assert "linked: refused fail folder: 'submission.json': is a link" in told
