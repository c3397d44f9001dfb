"""Cost of runs: processor seconds always, energy where it is asked for, and never a failed run for it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmrec_bench.errors import MissingExtraError
from mmrec_bench.experiments import energy
from mmrec_bench.experiments.energy import EnergyMeter, how_of
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment


def test_a_run_counts_processor_seconds_and_asks_for_no_energy(
    experiment: Experiment, settings: RunSettings, preparer: Preparer
) -> None:
    prepared = preparer(experiment)
    made = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
    spent = made.manifest["cpu_seconds"]
    assert set(spent) == {"prepare", "train_and_validate", "test"}
    assert spent["train_and_validate"] == pytest.approx(sum(line["cpu_seconds"] for line in made.history()))
    assert all(value > 0 for value in spent.values())
    assert made.manifest["energy"] is None


def test_energy_is_told_with_how_it_was_found_and_no_file_is_left(
    experiment: Experiment, settings: RunSettings, preparer: Preparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("codecarbon")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    prepared = preparer(experiment)
    made = run(experiment, prepared, run_key(experiment, prepared, 0), dataclasses.replace(settings, energy=True))
    told = made.manifest["energy"]
    assert told["kwh"] == pytest.approx(told["cpu_kwh"] + told["gpu_kwh"] + told["ram_kwh"])
    assert told["kwh"] > 0
    assert "estimated" in told["how"]
    assert not list((tmp_path / "here").iterdir())


class _Broken:
    def __init__(self, **options: Any) -> None:
        pass

    def start(self) -> None:
        raise RuntimeError("no counters")


class _BreaksLater(_Broken):
    def start(self) -> None:
        pass

    def stop(self) -> None:
        raise OSError("counters are gone")


@pytest.mark.parametrize("tracker", [_Broken, _BreaksLater])
def test_what_cannot_be_measured_fails_nothing(tracker: type[_Broken], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "import_codecarbon", lambda: SimpleNamespace(OfflineEmissionsTracker=tracker))
    with EnergyMeter(True) as meter:
        pass
    assert meter.facts is None


@pytest.mark.parametrize(
    ("mode", "word"), [("intel_rapl", "measured"), ("cpu_load", "estimated"), ("unheard of", "estimated")]
)
def test_an_estimate_is_called_one(mode: str, word: str) -> None:
    assert how_of(SimpleNamespace(_hardware=[SimpleNamespace(_mode=mode)])).startswith(f"processor: {word}")


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmrec-bench\[energy\]'"), EnergyMeter(True):
        pass
