"""Runs for commands: progress, the report on the terminal, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from mmrec_bench.cli.console import errors, out, print_facts, print_table
from mmrec_bench.cli.progress import LineProgress, RunProgress
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.suite import Executor, Outcome, plan, run_all
from mmrec_bench.reports.report import Report


def run_experiments(
    experiments: Sequence[Experiment],
    tampered: Sequence[Experiment],
    settings: RunSettings,
    preparer: Preparer,
    reuse_stale: bool,
    executor: Executor | None = None,
) -> Outcome:
    """Make the runs of experiments that are not there, and show how it goes."""
    shown = RunProgress if executor is None else LineProgress
    with shown(out, errors, resume=settings.resume) as progress:
        planned, failures = plan(experiments, preparer, settings.out, tampered)
        for failure in failures:
            progress.on_failure(failure)
        try:
            return run_all(planned, settings, progress, failures=failures, reuse_stale=reuse_stale, executor=executor)
        except KeyboardInterrupt:
            errors.print("interrupted: finished runs are kept; `bench`, or `run --resume`, goes on", highlight=False)
            raise typer.Exit(130) from None


def finish(outcome: Outcome) -> None:
    """Say what was there already, and exit with 1 where something failed."""
    if outcome.reused:
        total = len(outcome.runs) + len(outcome.extra)
        out.print(f"{outcome.reused} of {total} runs were there already", highlight=False)
    if outcome.failures:
        errors.print(f"{len(outcome.failures)} failed (see above)", style="red", highlight=False)
        raise typer.Exit(1)


def print_report(made: Report, *, headline_only: bool) -> None:
    """Print the tables of a report, or the first of each group alone."""
    for groups in made.groups.values():
        for group in groups:
            for table in group.tables[:1] if headline_only else group.tables:
                print_table(table)
            print_facts(group.facts)


def write_report(made: Report, folder: Path) -> None:
    """Write a report and say where it is."""
    page, text, numbers = made.write(folder)
    out.print(f"report: {page}\nMarkdown: {text}\nnumbers: {numbers}", highlight=False, markup=False)
