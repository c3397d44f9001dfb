"""Tuning as a user types it: a study, then runs of its winner."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmrec_bench.cli import app as cli
from mmrec_bench.errors import DataError
from mmrec_bench.experiments.legacy.emulation import Options

SPACE = "schema_version: 1\nmodel: mlp\naxes: {trainer.learning_rate: {choices: [1.0e-3, 1.0e-2]}}\n"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_a_study_and_the_runs_of_its_winner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The ranking task, on lists of the embedded world."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    told = ["--set", "trainer.max_epochs=1", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "runs")]
    config = "configs/synthetic-ranking/mlp.yaml"
    command = ["tune", config, str(space), "--trials", "2", "--seed", "3", *told]
    assert call(monkeypatch, *command) == 0
    printed = capsys.readouterr().out
    assert "the test part was not opened" in printed
    assert "synthetic-ranking: accuracy" in printed
    (made,) = (tmp_path / "runs" / "synthetic-ranking").rglob("manifest.json")
    assert made.parent.name == "seed-3"
    facts = json.loads(made.read_text(encoding="utf-8"))
    assert facts["tuning"]["budget"] == {"trials": 2, "seconds": None}
    assert call(monkeypatch, *command) == 0
    assert "trial 1: " not in capsys.readouterr().out, "what is there is not made again"
    told = facts["tuning"] | {"study": "another"}
    notes = ((told, "made before: it names another study, or one of another budget"), (None, "made before, by hand"))
    for tuning, note in notes:
        edited = json.dumps(facts | {"tuning": tuning})
        made.write_text(edited, encoding="utf-8")
        assert call(monkeypatch, *command) == 0
        assert note in capsys.readouterr().out
    assert call(monkeypatch, "validate", str(space)) == 0
    assert "search space of mlp" in capsys.readouterr().out
    reports = tmp_path / "reports"
    studies = str(tmp_path / "runs" / "tuning")
    assert call(monkeypatch, "report", "--legacy-selection", studies, "--report-dir", str(reports)) == 0
    assert "Shown, never used" in capsys.readouterr().out
    assert (reports / "legacy-selection.csv").is_file()
    read_from: list[str | None] = []

    def emulated(options: Options) -> None:
        read_from.append(options.data_dir)
        raise DataError("no further")

    with monkeypatch.context() as patch:
        patch.setattr("mmrec_bench.cli.legacy.emulated", emulated)
        assert call(patch, "report", "--legacy-selection", studies, "--data-dir", str(tmp_path)) == 2
    assert read_from == [str(tmp_path)]
    capsys.readouterr()
    assert call(monkeypatch, "legacy-selection", str(reports), "--out", str(reports)) == 2
    assert "holds no finished study" in capsys.readouterr().err


def test_bad_input_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config, space, out = "configs/synthetic/mf.yaml", "configs/tuning/mf.yaml", ["--out", str(tmp_path)]
    assert call(monkeypatch, "tune", config, space, *out) == 2
    assert "--trials" in capsys.readouterr().err
    assert call(monkeypatch, "tune", config, "configs/tuning/lightgcn.yaml", "--trials", "1", *out) == 2
    assert "made for 'lightgcn'" in capsys.readouterr().err
    assert call(monkeypatch, "tune", config, space, "--trials", "1", "--storage", "nonsense", *out) == 2
    assert "storage of the study" in capsys.readouterr().err
    assert call(monkeypatch, "run", space, *out) == 2
    assert "is a search space" in capsys.readouterr().err


def test_every_model_of_a_suite_has_the_same_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configs = Path("configs/synthetic").resolve()
    suite, spaces = tmp_path / "mine.yaml", tmp_path / "spaces"
    rows = "".join(f"  - config: {configs / name}.yaml\n" for name in ("popularity", "mf", "itemknn"))
    suite.write_text(f"schema_version: 1\ntitle: Mine\nseeds: [0]\nexperiments:\n{rows}", encoding="utf-8")
    spaces.mkdir()
    command = [
        "tune", str(suite), str(spaces), "--trials", "2", "--set", "trainer.max_epochs=1", "--threads", "1",
        "--device", "cpu", "--out", str(tmp_path / "runs"),
    ]  # fmt: skip
    (spaces / "mf.yaml").write_text(SPACE.replace("mlp", "mf"), encoding="utf-8")
    assert call(monkeypatch, *command) == 2
    assert "itemknn" in capsys.readouterr().err, "no model is left untuned in silence"
    axes = "axes: {model.n_neighbors: {range: [5, 50]}}"
    (spaces / "itemknn.yaml").write_text(f"schema_version: 1\nmodel: itemknn\n{axes}\n", encoding="utf-8")
    assert call(monkeypatch, *command) == 0
    assert "tuning mf: 2 trials" in capsys.readouterr().out
    studies = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "tuning").rglob("manifest.json")]
    assert {study["model"]: study["spent"]["trials"] for study in studies} == {"mf": 2, "itemknn": 2}
    runs = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "synthetic").rglob("manifest.json")]
    assert {run["model"]: run["tuning"] is None for run in runs} == {"popularity": True, "mf": False, "itemknn": False}


def test_a_suite_declares_its_tuning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`bench` tunes, runs the winners, and goes on with the rest where a study fails."""
    configs = Path("configs/synthetic").resolve()
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "schema_version: 1\ntitle: Mine\nseeds: [0, 1]\ntuning: {spaces: spaces, trials: 2, sampler: random}\n"
        f"experiments:\n  - config: {configs / 'popularity.yaml'}\n"
        f"  - {{config: {configs / 'mf.yaml'}, label: factors}}\n"
        f"  - {{config: {configs / 'lightgcn.yaml'}, set: [trainer.learning_rate=1.0e+30]}}\n",
        encoding="utf-8",
    )
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mf.yaml").write_text(SPACE.replace("mlp", "mf"), encoding="utf-8")
    (tmp_path / "spaces" / "lightgcn.yaml").write_text(
        "schema_version: 1\nmodel: lightgcn\naxes: {model.n_layers: {choices: [1, 2]}}\n", encoding="utf-8"
    )
    told = ["--set", "trainer.max_epochs=1", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "runs")]
    command = ["bench", str(suite), *told, "--report-dir", str(tmp_path / "reports")]
    assert call(monkeypatch, *command) == 1
    report = (tmp_path / "reports" / "mine" / "report.md").read_text(encoding="utf-8")
    assert "no trial of the study of" in report
    assert "| factors |" in report.replace("**", "")
    runs = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "synthetic").rglob("manifest.json")]
    assert sorted((run["model"], run["seed"]) for run in runs) == [("mf", 0), ("mf", 1), ("popularity", 0)]
    assert {run["tuning"]["budget"]["trials"] for run in runs if run["model"] == "mf"} == {2}
    capsys.readouterr()
    assert call(monkeypatch, "tune", str(suite), "--trials", "2", *told) == 2
    assert "declared by the suite itself" in capsys.readouterr().err
    suite.write_text(suite.read_text(encoding="utf-8").replace("trials: 2, ", ""), encoding="utf-8")
    assert call(monkeypatch, "validate", str(suite)) == 2
    assert "needs trials, seconds, or both" in capsys.readouterr().err
