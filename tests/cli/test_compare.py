"""The command that compares runs, as a user types it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmrec_bench.cli import app as cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        for model in ("popularity", "itemknn"):
            assert call(patch, "run", f"configs/synthetic/{model}.yaml", "--threads", "1", "--out", str(out)) == 0
    return out


def test_folders_are_compared_and_written(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = tmp_path / "out"
    assert call(monkeypatch, "compare", str(runs), "--baseline", "popularity", "--out", str(written)) == 0
    printed = capsys.readouterr().out
    for part in ("itemknn - popularity", "fixed / fixed", "better", "Holm", "written: "):
        assert part in printed
    assert sorted(path.name for path in written.iterdir()) == [
        "comparisons.csv", "comparisons.json", "comparisons.md",
    ]  # fmt: skip


def test_a_family_stands_for_itself(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    family = tmp_path / "family.yaml"
    family.write_text(
        "schema_version: 1\ntitle: Neighbours\nmetric: ndcg@20\ncomparisons: [{first: itemknn, second: popularity}]\n",
        encoding="utf-8",
    )
    assert call(monkeypatch, "compare", str(runs), "--family", str(family)) == 0
    assert "synthetic: Neighbours" in capsys.readouterr().out
    assert call(monkeypatch, "compare", str(runs), "--family", str(family), "--metric", "recall@20") == 2
    assert "leave --metric out" in capsys.readouterr().err
    assert call(monkeypatch, "compare", str(runs), "--margin", "1.5") == 2
    assert "above 0 and below 1, such as 0.01; got 1.5" in capsys.readouterr().err
    assert call(monkeypatch, "compare", str(tmp_path / "none")) == 2
    assert "no such folder" in capsys.readouterr().err
