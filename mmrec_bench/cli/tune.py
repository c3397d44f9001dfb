"""The command that tunes: a study by validation, then ordinary runs of its winner."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
    run_settings,
)
from mmrec_bench.cli.running import finish, print_report, run_experiments
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema import is_space, load_experiment
from mmrec_bench.experiments.space import load_space, read_space
from mmrec_bench.experiments.study import Budget, PrunerName, SamplerName, Search
from mmrec_bench.experiments.trial import TrialScore
from mmrec_bench.experiments.tuning import Study
from mmrec_bench.experiments.tuning import tune as run_study
from mmrec_bench.reports.report import make_report
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml


def tune(
    config: Annotated[str, typer.Argument(help="An experiment's YAML, such as configs/synthetic/mf.yaml.")],
    space: Annotated[str, typer.Argument(help="A search space, such as configs/tuning/mf.yaml.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Budget in trials.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Budget in seconds of all trials together.")] = None,
    sampler: Annotated[SamplerName, typer.Option(help="What draws the values.")] = "tpe",
    pruner: Annotated[PrunerName, typer.Option(help="What gives up hopeless trials at a validation.")] = "median",
    study_seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler and of the trials.")] = 0,
    storage: Annotated[str | None, typer.Option(help="URL of a database; a file below --out by default.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    seed: Seeds = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: ReuseStale = False,
) -> None:
    """Search the settings of an experiment by validation, then run the best on the declared seeds.

    The same command goes on with what was interrupted; started several times, the processes share one study.
    """
    budget, search = Budget(trials, seconds), Search(sampler, pruner, study_seed)
    experiment = load_experiment(config, (*overrides, *((f"seeds={seed}",) if seed else ())))
    loaded = load_space(space, experiment)
    settings = run_settings(out_dir, device, threads, resume=True, reuse_stale=reuse_stale)
    preparer = Preparer(data_dir)
    try:
        study = run_study(loaded, search, budget, preparer, settings, _Lines(), storage)
    except KeyboardInterrupt:
        errors.print("interrupted: finished trials are kept; the same command goes on", highlight=False)
        raise typer.Exit(130) from None
    _tell(study)
    outcome = run_experiments([study.winner], [], settings, preparer, reuse_stale)
    for _, artefact in outcome.runs:
        known = artefact.manifest.get("tuning")
        note = "" if known else " (made before, by hand: it does not name this study)"
        out.print(f"run: {artefact.folder}{note}", highlight=False, markup=False)
    command = shlex.join(["mmrec-bench", *sys.argv[1:]])
    report = make_report(experiment.label, command, outcome.runs, failures=outcome.failures)
    print_report(report, headline_only=False)
    finish(outcome)


def space_of(config: str) -> str | None:
    """Return what a valid search space is, in words; None if a YAML is of another kind.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    if not is_space(load_yaml(find_yaml("configs", config))):
        return None
    told, _, _ = read_space(config)
    return f"search space of {told.model}: {', '.join(told.axes)}; `tune` checks its values against an experiment"


class _Lines:
    """Prints a line a trial."""

    def on_trial(self, number: int, values: Mapping[str, Any]) -> None:
        """Wait for its end."""

    def on_score(self, number: int, values: Mapping[str, Any], score: TrialScore) -> None:
        """Print how it ended."""
        told = score.outcome if score.score is None else f"{score.score:.4f}"
        reason = "" if score.message is None else f" ({score.message.splitlines()[0]})"
        out.print(f"trial {number}: {told}{reason}  {_settings(values)}", highlight=False, markup=False)


def _tell(study: Study) -> None:
    facts = study.manifest
    best, spent, curve = facts["best"], facts["spent"], facts["curve"]
    for line in (
        f"study: {study.folder}",
        f"spent: {spent['trials']} trials ({spent['pruned']} pruned, {spent['failed']} failed), "
        f"{spent['seconds']:.0f} s; the test part was not opened",
        f"best: trial {best['trial']}, valid {facts['select_by']} {best['score']:.4f}, "
        f"mean of best so far {curve['area_by_trials']:.4f}  {_settings(best['values'])}",
    ):
        out.print(line, highlight=False, markup=False)


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )
