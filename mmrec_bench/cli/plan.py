"""The command that says what a suite will run, and what that will cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import (
    DataDir,
    Device,
    Out,
    Overrides,
    ReuseStale,
    Seeds,
    Threads,
    errors,
    out,
    print_rows,
    print_table,
    run_settings,
)
from mmrec_bench.experiments.forecast import Forecast, forecast
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import Experiment, is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan as planned_runs
from mmrec_bench.experiments.tuning.study import Budget
from mmrec_bench.experiments.variants import variants_of
from mmrec_bench.reports.forecast import forecast_table
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml


def plan(
    suite: Annotated[str, typer.Argument(help="A suite's or an experiment's YAML.")],
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    seed: Seeds = [],  # noqa: B006
    states: Annotated[bool, typer.Option("--states", help="List the runs alone, and measure nothing.")] = False,
    out_dir: Out = Path("runs"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: ReuseStale = False,
) -> None:
    """List the runs of a suite with what lies in their folders, and forecast time, memory and disk of those to come.

    Every experiment is trained for two epochs and validated; `bench` shows afterwards how far off the forecast was.
    """
    experiments, tampered, budgets = _experiments(suite, tuple(overrides), tuple(seed))
    preparer = Preparer(data_dir)
    planned, failures = planned_runs(experiments, preparer, out_dir, tampered)
    if budgets:
        out.print(
            "tuned: settings and folders of the runs are those of the winners; time is of these settings", style="dim"
        )
    rows = [(item.state, item.experiment.label, str(item.key.seed), str(item.key.folder(out_dir))) for item in planned]
    print_rows(("state", "model", "seed", "folder"), rows)
    for failure in failures:
        errors.print(f"cannot run {failure.label}: {failure.message}", style="red", highlight=False, markup=False)
    if not states and planned:
        settings = run_settings(out_dir, device, threads, resume=False, reuse_stale=reuse_stale)
        with errors.status("measuring") as status:
            told = forecast(planned, settings, budgets, lambda label: status.update(f"measuring {label}"))
        if told.rows:
            print_table(forecast_table(told))
            path = Forecast.path(out_dir, Path(suite).stem)
            told.save(path)
            out.print(f"forecast: {path}", highlight=False, markup=False)
        else:
            out.print("nothing to run: all is there", highlight=False)
    if failures:
        raise typer.Exit(1)


def _experiments(
    config: str, overrides: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Sequence[Experiment], Sequence[Experiment], dict[str, Budget]]:
    """Return the experiments of a suite, or the one, what its knockouts run besides, and the budgets of studies."""
    if not is_suite(load_yaml(find_yaml("configs", config))):
        return [load_experiment(config, (*overrides, *((f"seeds={list(seeds)}",) if seeds else ())))], [], {}
    suite = load_suite(config, overrides, seeds or None)
    budgets: dict[str, Budget] = {}
    if (tuning := suite.config.tuning) is not None:
        budgets = {space.experiment.label: tuning.budget for space in suite.spaces if space is not None}
    return suite.experiments, variants_of(suite.knockouts, suite.config.knockout), budgets
