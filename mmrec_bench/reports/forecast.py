"""Forecasts as tables: what a suite will cost, and, when it is done, how far off that was."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.forecast import Case, Forecast, RunForecast
from mmrec_bench.reports.table import ABSENT, Cell, Table, number

CASES: tuple[Case, ...] = ("least", "likely", "most")
MIB = 1 << 20


def forecast_table(told: Forecast) -> Table:
    """Return what each experiment, and all of them, will cost."""
    rows = [
        (
            row.label,
            number(row.n_runs, "d"),
            _epochs(row),
            number(row.measured.epoch_seconds, ".3g"),
            number(row.measured.validate_seconds, ".3g"),
            *_totals([row]),
        )
        for row in told.rows
    ]
    if told.rows:
        rows.append(
            ("all", number(sum(row.n_runs for row in told.rows), "d"), *[Cell(ABSENT)] * 3, *_totals(told.rows))
        )
    header = (
        "model", "runs", "epochs", "epoch, s", "validation, s", *CASES, "memory, MiB", "disk, MiB",
    )  # fmt: skip
    note = (
        f"From short trainings with {told.threads} thread(s) on {told.device}; one run after another, and studies. "
        "Least: no validation beats the first; likely: as many epochs as earlier runs of the model here, or as most "
        "where there are none; most: all epochs. Memory is the peak of the process, disk what is written into run "
        "folders."
    )
    return Table("Forecast", note, header, tuple(rows))


def comparison_table(told: Forecast, runs: Sequence[tuple[str, RunArtefact]]) -> Table | None:
    """Return the forecast beside what runs came to; None where it speaks of none of them.

    Args:
        told: What was said before.
        runs: Finished runs with the label of their row.
    """
    rows = []
    for row in told.rows:
        made = [run for label, run in runs if label == row.label and run.manifest["dataset"] == row.dataset]
        if not made:
            continue
        epochs = fmean(run.manifest["training"]["epochs_run"] for run in made)
        seconds = fmean(sum(run.manifest["seconds"].values()) for run in made)
        memory = max(run.manifest["peak_memory_mib"] for run in made)
        disk = fmean(sum(path.stat().st_size for path in run.folder.iterdir()) for run in made) / MIB
        likely, known = row.run_seconds(row.epochs["likely"]), row.run_seconds(epochs)
        rows.append(
            (
                row.label,
                _both(row.epochs["likely"], epochs, ".0f"),
                Cell(f"{duration(likely)} / {duration(seconds)}", [("told", likely), ("came", seconds)]),
                _off(likely, seconds),
                _off(known, seconds),
                _both(row.measured.peak_memory_mib, memory, ",.0f"),
                _off(row.measured.peak_memory_mib, memory),
                _both(row.measured.disk_bytes / MIB, disk, ",.1f"),
                _off(row.measured.disk_bytes / MIB, disk),
            )
        )
    if not rows:
        return None
    header = (
        "model", "epochs", "time of a run", "error", "epochs known", "memory, MiB", "error", "disk, MiB", "error",
    )  # fmt: skip
    note = (
        "Told before / what came, means over runs (of memory, the greatest); the error is of what was told. `Epochs "
        "known` is the forecast for the epochs that the runs turned out to need: what is off there is the measuring."
    )
    return Table("Forecast and what came", note, header, tuple(rows))


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _totals(rows: Sequence[RunForecast]) -> tuple[Cell, ...]:
    """Return the time of some rows in each case, the memory of the greatest, and the disk of all."""
    seconds = [sum(row.seconds(case) for row in rows) for case in CASES]
    disk = sum(row.n_runs * row.measured.disk_bytes for row in rows) / MIB
    return (
        *(Cell(duration(value), [("", value)]) for value in seconds),
        number(max(row.measured.peak_memory_mib for row in rows), ",.0f"),
        number(disk, ",.1f"),
    )


def _epochs(row: RunForecast) -> Cell:
    least, likely, most = (f"{row.epochs[case]:.0f}" for case in CASES)
    text = least if least == most else f"{least} / {likely}{'' if row.n_known else '?'} / {most}"
    return Cell(text, [(case, float(row.epochs[case])) for case in CASES])


def _both(told: float, came: float, form: str) -> Cell:
    return Cell(f"{told:{form}} / {came:{form}}", [("told", told), ("came", came)])


def _off(told: float, came: float) -> Cell:
    return number(told / came - 1 if came else None, "+.0%")
