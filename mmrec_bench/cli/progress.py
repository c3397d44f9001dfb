"""Progress on the terminal: one bar for the runs, one for the epochs of the current run."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mmrec_bench.experiments.suite import Failure, PlannedRun
from mmrec_bench.training.records import EpochRecord


class EpochBar:
    """Shows the epochs of one run (implements the trainer's `Observer`)."""

    def __init__(self, progress: Progress, task: TaskID, select_by: str) -> None:
        self._progress = progress
        self._task = task
        self._select_by = select_by
        self._best: float | None = None
        self._batches = 1

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        """Show the epochs done before a resume."""
        self._progress.reset(self._task, total=max_epochs, completed=0, visible=True)
        for record in history:
            self.on_epoch(record)

    def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
        """Move within an epoch."""
        self._progress.update(self._task, completed=epoch + (batch + 1) / n_batches)

    def on_epoch(self, record: EpochRecord) -> None:
        """Show loss and the best validation score so far."""
        if record.valid is not None and self._select_by in record.valid:  # an encoder has another score
            score = record.valid[self._select_by]
            self._best = score if self._best is None else max(self._best, score)
        text = "" if record.loss is None else f"loss {record.loss:.4f}"
        if self._best is not None:
            text += f"  best valid {self._select_by} {self._best:.4f}"
        self._progress.update(self._task, completed=record.epoch + 1, detail=text)


class RunProgress:
    """Shows a list of runs (implements `SuiteObserver`); a context manager."""

    def __init__(self, console: Console, errors: Console, *, resume: bool) -> None:
        self._console = console
        self._errors = errors
        self._resume = resume
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        )
        self._runs = self._progress.add_task("runs", total=None, detail="")
        self._epochs = self._progress.add_task("epochs", total=None, visible=False, detail="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_run(self, planned: PlannedRun, number: int, total: int) -> EpochBar | None:
        """Announce a run."""
        name = f"{planned.experiment.label} on {planned.key.dataset}, seed {planned.key.seed}"
        notes = {"stale": " (again: the code has changed)", "damaged": " (again: its files have changed)"}
        how = " (going on)" if planned.state == "partial" and self._resume else notes.get(planned.state, "")
        self._console.print(f"[{number}/{total}] {name}{how}", highlight=False, markup=False)
        self._progress.update(self._runs, total=total, completed=number - 1)
        self._progress.reset(self._epochs, description="epochs", total=None, detail="", visible=True)
        return EpochBar(self._progress, self._epochs, planned.experiment.config.protocol.select_by)

    def on_reused(self, planned: PlannedRun, number: int, total: int) -> None:
        """Say that a run is there already."""
        name = f"{planned.experiment.label} on {planned.key.dataset}, seed {planned.key.seed}"
        stale = ", made by other code" if planned.state == "stale" else ""
        self._console.print(f"[{number}/{total}] {name}: there already{stale}", highlight=False, markup=False)
        self._progress.update(self._runs, total=total, completed=number)

    def on_failure(self, failure: Failure) -> None:
        """Say what failed; the traceback of an unexpected error is shown too."""
        where = failure.label if failure.seed is None else f"{failure.label}, seed {failure.seed}"
        self._errors.print(f"FAILED {where}: {failure.message}", style="red", highlight=False, markup=False)
        if failure.trace is not None:
            self._errors.print(failure.trace, style="dim", highlight=False, markup=False)

    def on_note(self, text: str) -> None:
        """Say it."""
        self._console.print(text, highlight=False, markup=False)


class LineProgress(RunProgress):
    """Shows runs of which several go on at once: a line at the start and at the end of each, and no epochs."""

    def on_run(self, planned: PlannedRun, number: int, total: int) -> None:
        """Announce a run."""
        super().on_run(planned, number, total)
        self._progress.update(self._epochs, visible=False)
