"""The workflow of pull requests: what it may do, and its own shell lines run against a repository on the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from mmrec_bench.settings import load_yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = load_yaml(ROOT / ".github" / "workflows" / "leaderboard.yml").data
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["verify"]["steps"]
ENTRY = Path("leaderboard/submissions/synthetic-retrieval/popularity")
OTHER = Path("leaderboard/submissions/synthetic-retrieval/itemknn")
Change = Callable[[Path], None]


def test_it_runs_the_code_of_the_base_branch_alone_and_may_only_read() -> None:
    assert list(WORKFLOW["on"]) == ["pull_request"]  # `pull_request_target` would hand out secrets
    assert "edited" in WORKFLOW["on"]["pull_request"]["types"]  # beside another base branch, other things are new
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


def _git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *settings, *arguments]
    return subprocess.run(
        command, cwd=folder, env=_environment(), check=True, capture_output=True, text=True
    ).stdout.strip()


def _environment() -> dict[str, str]:
    """Return the environment without what git reads of it: settings of the user, or a hook that runs these tests."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**others, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def _commit(folder: Path, message: str) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose board lacks an entry."""
    version = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 38):
        pytest.skip("git merge-tree --write-tree needs git 2.38")
    folder = tmp_path_factory.mktemp("host") / "team" / "repository"
    (folder / OTHER).parent.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / OTHER, folder / OTHER)
    _git(folder, "init", "--quiet", "--initial-branch", "main")
    _commit(folder, "base")
    return folder


def _step(name: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    lines = next(step["run"] for step in STEPS if step.get("name") == name)
    return subprocess.run(
        ["bash", "-e", "-c", lines],
        cwd=cwd,
        env={**_environment(), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _unchanged(_: Path) -> None:
    """Change nothing."""


def _fetched(
    repository: Path, tmp_path: Path, change: Change, meanwhile: Change = _unchanged
) -> tuple[Path, dict[str, str]]:
    """Make a pull request of a change, and fetch it where the base branch is checked out.

    Args:
        repository: The repository, which stays as it is.
        tmp_path: An empty folder.
        change: Changes the branch of the pull request.
        meanwhile: Changes the base branch after that one has left it.

    Returns:
        The checkout, and the environment of the steps in it.
    """
    work, host = tmp_path / "work", tmp_path / "host"
    shutil.copytree(repository, there := host / "team" / "repository", symlinks=True)
    _git(tmp_path, "clone", "--quiet", str(there), str(work))
    change(work)
    _git(work, "checkout", "--quiet", "-b", "mine")
    _commit(work, "an entry")
    meanwhile(there)
    _git(there, "add", "--all")
    _git(there, "commit", "--quiet", "--allow-empty", "--message", "meanwhile")
    _git(work, "fetch", "--quiet", "origin", "main")
    tree = _git(work, "merge-tree", "--write-tree", "origin/main", "mine")  # as hosts do: nothing is checked out
    merge = _git(work, "commit-tree", tree, "-p", "origin/main", "-p", "mine", "-m", "merge")
    _git(work, "push", "--quiet", "--force", "origin", f"{merge}:refs/pull/7/merge")
    base = tmp_path / "base"
    _git(tmp_path, "clone", "--quiet", "--branch", "main", str(there), str(base))
    _git(base, "checkout", "--quiet", "HEAD^")  # as an old run that is started again
    stamp = tmp_path / "installed"
    stamp.touch()
    incoming, before = tmp_path / "incoming", tmp_path / "before"
    env = {
        "MERGED": "refs/pull/7/merge",
        "INCOMING": str(incoming),
        "BEFORE": str(before),
        "GITHUB_SERVER_URL": f"file://{host}",
        "GITHUB_REPOSITORY": "team/repository",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "MAKEFLAGS": f"-- BIN={Path(sys.executable).parent} STAMP={stamp}",  # the environment of the tests
    }
    fetched = _step("Submissions of the pull request, as data", base, env)
    assert fetched.returncode == 0, fetched.stderr
    assert _git(base, "rev-parse", "HEAD") == _git(there, "rev-parse", "main"), "the code is that of the base branch"
    assert [path.name for path in incoming.iterdir()] == ["leaderboard"]
    return base, env


def _changed(env: dict[str, str]) -> str:
    return Path(env["GITHUB_OUTPUT"]).read_text(encoding="utf-8")


def _pull_request(
    repository: Path, tmp_path: Path, change: Change, meanwhile: Change = _unchanged
) -> subprocess.CompletedProcess[str]:
    """Make a pull request, see `_fetched`, run the steps for changed submissions, return the verification."""
    base, env = _fetched(repository, tmp_path, change, meanwhile)
    assert _changed(env) == "changed=yes\n"
    unpacked = {name: str(Path(env[name]) / "leaderboard" / "submissions") for name in ("INCOMING", "BEFORE")}
    verified = _step("Verify", base, {**env, **unpacked})
    assert _step("Summary", base, env).returncode == 0
    shown, obeyed = _log(verified.stdout)
    assert obeyed == []
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert shown in summary
    assert [token.type for token in MarkdownIt().parse(summary)] == ["fence"], "nothing gets out of the block"
    return verified


def _log(text: str) -> tuple[str, list[str]]:
    """Return what the host shows of a step's output, and the commands that it obeys but the one that ends them."""
    shown, obeyed, stopped = [], [], False
    for line in text.splitlines(keepends=True):
        if stopped or not (line.lstrip().startswith("::") or "##[" in line):
            shown.append(line)
        elif line.startswith("::stop-commands::"):
            stopped = True
        else:
            obeyed.append(line)
    return "".join(shown), obeyed


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


@pytest.mark.parametrize(
    ("path", "mode", "changed"), [("README.md", 0o644, "no"), (str(OTHER / "card.json"), 0o755, "yes")]
)
def test_it_verifies_where_anything_of_the_submissions_changes(
    repository: Path, tmp_path: Path, path: str, mode: int, changed: str
) -> None:
    def change(work: Path) -> None:
        (work / path).touch()
        (work / path).chmod(mode)

    base, env = _fetched(repository, tmp_path, change)
    assert _changed(env) == f"changed={changed}\n"
    assert _step("Board", base, env).returncode == 0
    conditions = [step.get("if", "") for step in STEPS]
    assert [("changed == 'yes'" in one) for one in conditions] == [False, False, True, True, True, True, False]


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


def _hide(work: Path) -> None:
    """Hide an entry that is none, and in a whole one a record and code, by attributes that hide themselves."""
    _add(work)
    hidden = work / ENTRY.with_name("hidden")
    hidden.mkdir()
    (hidden / "submission.json").write_text("{}", encoding="utf-8")
    (work / ENTRY / "verification.json").write_text("{}", encoding="utf-8")
    (work / ENTRY / "model.py").write_text("import os", encoding="utf-8")
    of_root = "[attr]gone export-ignore\n/leaderboard/**/hidden gone\n"
    beside = "".join(f"{name} export-ignore\n" for name in ("verification.json", "model.py", ".gitattributes"))
    (work / ".gitattributes").write_text(of_root, encoding="utf-8")
    (work / ENTRY / ".gitattributes").write_text(f"{beside}*.yaml text eol=crlf\n", encoding="utf-8")


@pytest.mark.slow
def test_nothing_is_hidden_by_attributes(repository: Path, tmp_path: Path) -> None:
    verified = _pull_request(repository, tmp_path, _hide)
    assert verified.returncode != 0
    told = " ".join(verified.stdout.split())
    assert "hidden: refused" in told
    assert "popularity': brings a verification.json" in told
    assert "'model.py': is no file of this submission" in told
    assert "'.gitattributes': is no file of this submission" in told
    assert "was changed since it was packed" not in told


def _delete(work: Path) -> None:
    _add(work)
    shutil.rmtree(work / OTHER)


@pytest.mark.slow
def test_entries_of_others_stay(repository: Path, tmp_path: Path) -> None:
    verified = _pull_request(repository, tmp_path, _delete)
    assert verified.returncode != 0
    assert "itemknn': is deleted; entries stay" in verified.stdout
    assert "popularity: list-verified" in verified.stdout


@pytest.mark.slow
def test_a_branch_that_is_behind_is_not_held_for_it(repository: Path, tmp_path: Path) -> None:
    def rescore(base: Path) -> None:
        path = base / OTHER / "verification.json"
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        shutil.copytree(base / OTHER, base / OTHER.with_name("later"))

    verified = _pull_request(repository, tmp_path, _add, rescore)
    assert verified.returncode == 0, verified.stdout
    assert "popularity: list-verified" in verified.stdout


@pytest.mark.slow
def test_a_link_in_the_place_of_the_submissions_is_not_followed(repository: Path, tmp_path: Path) -> None:
    def link(work: Path) -> None:
        shutil.rmtree(work / "leaderboard" / "submissions")
        (work / "leaderboard" / "submissions").symlink_to(tmp_path / "before" / "leaderboard" / "submissions")

    verified = _pull_request(repository, tmp_path, link)
    assert verified.returncode != 0
    assert "submissions: is a link" in " ".join(verified.stdout.split())


@pytest.mark.slow
def test_names_are_no_commands_and_no_markup(repository: Path, tmp_path: Path) -> None:
    def name(work: Path) -> None:
        (
            odd := work / ENTRY.with_name("x\n::error title=t::told\n~~~~\n# Verified\r~~~~~~~~\r# Verified\x1b[2J\x7f")
        ).mkdir()
        (odd / "submission.json").write_text("{}", encoding="utf-8")

    verified = _pull_request(repository, tmp_path, name)  # looks at log and summary
    assert verified.returncode != 0
    assert "# Verified" in verified.stdout
    assert not {"\r", "\x1b", "\x7f"} & set(verified.stdout)


@pytest.mark.parametrize("name", ["LEADERBOARD.md", "site/evil.html"])
def test_the_board_is_left_to_maintainers(repository: Path, tmp_path: Path, name: str) -> None:
    def board(work: Path) -> None:
        _add(work)
        (work / "leaderboard" / name).parent.mkdir(exist_ok=True)
        (work / "leaderboard" / name).write_text("mine", encoding="utf-8")

    def step(change: Change, folder: Path) -> subprocess.CompletedProcess[str]:
        folder.mkdir()
        _git(folder, "clone", "--quiet", str(repository), "clone")
        change(folder / "clone")
        _commit(folder / "clone", "a change")
        _git(folder / "clone", "fetch", "--quiet", ".", "HEAD")
        return _step("Board", folder / "clone", {})

    told = step(board, tmp_path / "board")
    assert told.returncode == 1
    assert "Maintainers build the board" in told.stdout
    assert step(_add, tmp_path / "entry").returncode == 0
