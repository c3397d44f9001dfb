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


def test_a_suite_reports_its_probes_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_probe(tmp_path, leaks=ONE)
    (tmp_path / "rate.yaml").write_text(
        "schema_version: 1\ndataset: {card: small.yaml, impressions: shown}\nprotocol: {split: time-window}\n"
        "model: item-rate\n",
        encoding="utf-8",
    )
    suite = tmp_path / "suite.yaml"
    text = "schema_version: 1\ntitle: Both\nexperiments: [{config: rate.yaml}]\nprobes: [probe.yaml]\nseeds: [3]\n"
    suite.write_text(text, encoding="utf-8")
    where = ["--out", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "reports"), "--device", "cpu"]
    assert call(monkeypatch, "bench", str(suite), *where) == 0
    report = (tmp_path / "reports" / "suite" / "report.md").read_text(encoding="utf-8")
    ctr, lis = report.index("## CTR"), report.index("## LIS")
    assert "id-embedding" not in report[ctr:lis]
    assert "| id-embedding | add | 40 |" in report[lis:]
    assert len(list((tmp_path / "runs" / "lis").rglob("seed-3"))) == 1
    suite.write_text(text.replace("probe.yaml", "rate.yaml"), encoding="utf-8")
    assert call(monkeypatch, "bench", str(suite), *where) == 2
    assert "probes[0]" in capsys.readouterr().err
    (tmp_path / "probe.yaml").write_text(
        (tmp_path / "probe.yaml").read_text(encoding="utf-8").replace("[40.0]", "[400.0]"), encoding="utf-8"
    )
    suite.write_text(text, encoding="utf-8")
    assert call(monkeypatch, "bench", str(suite), *where) == 1
    assert "400 days lies beyond" in (tmp_path / "reports" / "suite" / "report.md").read_text(encoding="utf-8")
