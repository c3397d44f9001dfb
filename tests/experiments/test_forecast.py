"""A forecast is made of short trainings without the test part, and is held against what came."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from mmrec_bench.data.split import SealedTest
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments import run as run_module
from mmrec_bench.experiments.forecast import Calibration, Forecast, RunForecast, forecast
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import run
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.suite import plan
from mmrec_bench.experiments.tuning.study import Budget
from mmrec_bench.reports.forecast import comparison_table, duration, forecast_table

from .conftest import write_config
from .interactive_worlds import system
from .interactive_worlds import write_world as write_sessions
from .test_ctr_run import _experiment as clicks

TRAINER = "{max_epochs: 12, validate_every: 2, patience: 3, batch_size: 64}"


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(tmp_path / "runs", torch.device("cpu"), 1)


def experiments_in(world: Path) -> list[Experiment]:
    write_config(world, "mf", trainer=TRAINER, extra="seeds: [0, 1]\n")
    write_config(world, "popularity", trainer="")
    return [load_experiment(world / "mf.yaml"), load_experiment(world / "popularity.yaml")]


def told_of(world: Path, settings: RunSettings, budgets: dict[str, Budget] | None = None) -> Forecast:
    planned, failures = plan(experiments_in(world), Preparer(None), settings.out)
    assert not failures
    return forecast(planned, settings, budgets or {}, lambda _: None)


def test_what_is_not_there_is_measured_without_the_test_part(
    world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the vault was opened")

    monkeypatch.setattr(SealedTest, "open", refuse)
    told = told_of(world, settings)
    mf, popularity = told.rows
    assert (mf.label, mf.n_runs, mf.validate_every) == ("mf", 2, 2)
    assert mf.epochs == {"least": 8, "likely": 12, "most": 12}, "1 + 3 validations without a better one, every 2 epochs"
    assert (popularity.n_runs, popularity.epochs) == (1, {"least": 1, "likely": 1, "most": 1})
    assert mf.measured.epoch_seconds > 0
    assert mf.measured.peak_memory_mib > 1
    assert not list(settings.out.rglob("manifest.json")), "nothing that looks like a run is left"


def test_runs_that_are_there_cost_nothing_and_tell_the_epochs_of_others(world: Path, settings: RunSettings) -> None:
    mf, _ = experiments_in(world)
    planned, _ = plan([mf], Preparer(None), settings.out)
    done = run(mf, planned[0].prepared, planned[0].key, settings)
    told = told_of(world, settings)
    assert told.rows[0].n_runs == 1
    assert told.rows[0].n_known == 1
    assert told.rows[0].epochs["likely"] == done.manifest["training"]["epochs_run"]
    weights = (done.folder / "model.safetensors").stat().st_size
    assert told.rows[0].measured.disk_bytes > 0.9 * weights


def made_up(**changes: object) -> RunForecast:
    measured = Calibration(1.0, 2.0, 4.0, 8.0, 100.0, 2**20)
    row = RunForecast("mf", "tiny", 3, 2, {"least": 10, "likely": 20, "most": 100}, 0, None, measured)
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


def test_the_sums() -> None:
    row = made_up()
    assert row.training_seconds(20) == 1 + 20 * 2 + 10 * 4
    assert row.seconds("likely") == 3 * (81 + 8)
    assert made_up(budget=Budget(trials=5)).seconds("likely") == 5 * 81 + 3 * 89
    assert made_up(budget=Budget(5, 100)).study_seconds("likely") == 100 + 81, "the last trial crosses the budget"
    assert made_up(budget=Budget(1, 100)).study_seconds("likely") == 81
    table = forecast_table(Forecast((row,), 1, "a processor", "code"))
    assert table.rows[0][2] == "10 / 20? / 100", "no earlier run tells how many"
    assert table.rows[-1][0] == "all"
    assert table.frame()["epochs likely"].tolist()[0] == 20
    assert table.frame()["likely"].tolist() == [3 * 89, 3 * 89], "seconds stay behind what people say"
    assert [duration(seconds) for seconds in (5, 90, 5400)] == ["5.0 s", "1.5 min", "1.5 h"]


def test_what_came_stands_beside_it(world: Path, settings: RunSettings) -> None:
    mf, _ = experiments_in(world)
    planned, _ = plan([mf], Preparer(None), settings.out)
    done = run(mf, planned[0].prepared, planned[0].key, settings)
    seconds, epochs = sum(done.manifest["seconds"].values()), done.manifest["training"]["epochs_run"]
    measured = Calibration(seconds, 0.0, 0.0, seconds, 2 * done.manifest["peak_memory_mib"], 0.0)
    row = made_up(measured=measured, dataset=done.manifest["dataset"])
    table = comparison_table(Forecast((row,), 1, "a processor", "code"), [("mf", done)])
    assert table is not None
    assert table.rows[0][1] == f"20 / {epochs}"
    assert table.rows[0][3:5] == ("+100%", "+100%")
    assert table.rows[0][6] == "+100%"
    assert comparison_table(Forecast((row,), 1, "a processor", "code"), [("other", done)]) is None


def test_a_base_that_is_not_there_is_trained_shortly_and_thrown_away(tmp_path: Path, settings: RunSettings) -> None:
    write_sessions(tmp_path)
    experiment = system(tmp_path, "magus", trainer="{max_epochs: 3}")
    planned, failures = plan([experiment], Preparer(None), settings.out)
    assert not failures
    told = forecast(planned, settings, {}, lambda _: None)
    assert told.rows[0].measured.validate_seconds > 0
    assert not list(settings.out.rglob("manifest.json"))


def test_it_is_kept_and_read_again(world: Path, settings: RunSettings) -> None:
    told = told_of(world, settings, {"mf": Budget(trials=3)})
    path = Forecast.path(settings.out, "suite")
    assert Forecast.load(path) is None
    told.save(path)
    assert Forecast.load(path) == told
    path.write_text('{"schema_version": 1, "kind": "run"}', encoding="utf-8")
    with pytest.raises(ArtefactError, match="is no forecast of this version"):
        Forecast.load(path)


def test_weights_to_start_from_are_made_before_the_clock(
    tmp_path: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their training is no part of building, whether they are there or are made aside."""
    more = "inputs: {start: {model: {name: fm}, trainer: {max_epochs: 3, batch_size: 64}}}\n"
    experiment = clicks(tmp_path, "fm", more=more)
    trained: list[int] = []
    train = run_module.train
    monkeypatch.setattr(run_module, "train", lambda *told: trained.append(told[2].max_epochs) or train(*told))
    planned, failures = plan([experiment], Preparer(None), settings.out)
    assert not failures
    forecast(planned, settings, {}, lambda _: None)
    assert trained == [2], "short, and thrown away"
    assert not list(settings.out.rglob("manifest.json"))
    run(experiment, planned[0].prepared, planned[0].key, settings)
    assert trained == [2, 3, 2], "the start, then the run"
    shutil.rmtree(planned[0].key.folder(settings.out))
    forecast(planned, settings, {}, lambda _: None)
    assert trained == [2, 3, 2], "the start is there"
