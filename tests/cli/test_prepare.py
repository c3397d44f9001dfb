"""The command that makes a data set of raw files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmrec_bench.cli import app as cli
from mmrec_bench.data.cards import DATA_VARIABLE, load_card, load_dataset

CARD = """
schema_version: 1
name: mine
format: prepared
build: {reader: amazon-2018, reviews: r.json, k_core: {user_rows: 2, item_rows: 2}, split: leave-last-out}
provenance: {filter: {user_rows: 2, item_rows: 2}}
"""
PAIRS = [(u, i) for u in range(4) for i in range(4) if (u + i) % 4] + [(9, 0), (1, 9)]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", "data", "prepare", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(CARD)
    rows = [
        {"reviewerID": f"U{u}", "asin": f"I{i}", "overall": 5, "unixReviewTime": 100 + n}
        for n, (u, i) in enumerate([*PAIRS, PAIRS[0]])
    ]
    (tmp_path / "r.json").write_text("".join(json.dumps(row) + "\n" for row in rows) + "broken\n")
    return tmp_path


def test_it_tells_steps_problems_and_the_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("mine.yaml", "--raw", ".", "--data-dir", "data", "--threads", "1", "--memory", "512")
    assert call(monkeypatch, *arguments) == 0
    told = " ".join(capsys.readouterr().out.split())
    data = load_dataset(load_card(folder / "mine.yaml"), folder / "data")
    for piece in (
        f"prepared: {Path('data') / 'mine'}",
        "read 15 5 5",
        "first row of each pair 14 5 5",
        "2 a user, 2 an item: round 1 12 4 4",
        "r.json: 1 lines that are neither JSON nor a Python literal of at most 1 MiB; left out; first in line 16",
        "train / valid / test: 4 / 4 / 4",
        f"pairs_digest: {data.pairs_digest()}",
    ):
        assert piece in told, told
    assert call(monkeypatch, *arguments) == 0
    assert "already there: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine.yaml", "--raw", "."), "say where data folders lie: --data-dir"),
        (("amazon-baby", "--raw", ".", "--data-dir", "d"), "card 'amazon-baby' is of format 'mmrec', which is"),
        (("mine.yaml", "--raw", "nowhere", "--data-dir", "d"), "r.json: no such file"),
        (("none.yaml", "--raw", ".", "--data-dir", "d"), "no such file"),
        (("mine.yaml", "--raw", ".", "--data-dir", "d", "--shards", "3"), "are of a cluster; add --executor ray"),
    ],
)
def test_bad_input_is_one_error(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(folder.rglob("*.parquet"))


def test_a_killed_process_leaves_nothing_that_is_taken_for_a_data_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while reviews are read."""
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from mmrec_bench.data.cards import load_card\n"
        "from mmrec_bench.data.preparing.prepare import prepare\n"
        "from mmrec_bench.data.raw import rows\n"
        "rows.count = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(load_card('mine.yaml'), Path(), Path('data'))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == -9
    assert {path.name for path in (folder / "data" / ".partial").iterdir()} > {"mine", "mine.work"}
    assert not (folder / "data" / "mine").exists()
    assert call(monkeypatch, "mine.yaml", "--raw", ".", "--data-dir", "data") == 0
    assert [path.name for path in (folder / "data" / ".partial").iterdir()] == ["mine.lock"]
    assert len(load_dataset(load_card(folder / "mine.yaml"), folder / "data").payload) == 12


@pytest.mark.slow
def test_a_ray_cluster_makes_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    ray = ("--executor", "ray", "--address", "local", "--shards", "3")
    for where, means in (("here", ()), ("ray", ray)):
        assert call(monkeypatch, "mine.yaml", "--raw", ".", "--data-dir", where, *means) == 0
    for path in (folder / "here" / "mine").iterdir():
        assert path.read_bytes() == (folder / "ray" / "mine" / path.name).read_bytes()
