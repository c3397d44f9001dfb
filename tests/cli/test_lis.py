"""The commands of a probe as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_cli import call
from tests.experiments.probes import FEATURES, write_probe

ONE = "leaks: [{name: id-embedding, days: [40.0], modes: [add], controls: [own]}]\n"


def test_a_probe_and_a_comparison(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_probe(tmp_path, leaks=ONE, features=FEATURES)
    where = ["--out", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "reports"), "--device", "cpu"]
    assert call(monkeypatch, "lis", str(path), *where) == 0
    printed = capsys.readouterr().out
    assert "LIS of din-ctr" in printed
    assert "small: AIS" in printed
    assert call(monkeypatch, "lis", "compare", str(path), *where) == 0
    assert "AIS" in capsys.readouterr().out
    names = sorted(each.name for each in (tmp_path / "reports" / "probe").iterdir())
    assert names == ["compare.md", "compare.svg", "lis.csv", "lis.md", "lis.svg"]
    assert call(monkeypatch, "validate", str(path)) == 0
    assert "ok: probe of din-ctr" in capsys.readouterr().out


def test_a_comparison_of_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_probe(tmp_path, leaks=ONE)
    assert call(monkeypatch, "lis", "compare", str(path), "--out", str(tmp_path / "runs"), "--device", "cpu") == 2
    assert "nothing to compare" in capsys.readouterr().err
