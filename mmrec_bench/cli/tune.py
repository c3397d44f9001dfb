"""The command that tunes: a study by validation, then ordinary runs of its winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    command_line,
    errors,
    out,
)
from mmrec_bench.cli.executors import Address, Choice, DataUrl, ExecutorOption, RunMemory, Shards, Workers
from mmrec_bench.cli.extraction import extract_for
from mmrec_bench.cli.running import finish, print_report, run_experiments
from mmrec_bench.errors import ConfigError, ConfigIssue, MissingExtraError, MMRecBenchError, ResourceError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment, is_space, is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.experiments.tuning.search import tune as run_study
from mmrec_bench.experiments.tuning.search import with_winners
from mmrec_bench.experiments.tuning.space import Space, read_space, spaces_of
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.experiments.tuning.study import Budget, PrunerName, SamplerName, Search
from mmrec_bench.experiments.tuning.trial import TrialScore
from mmrec_bench.reports.report import make_report
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml


def tune(
    config: Annotated[str, typer.Argument(help="An experiment's YAML, or a suite's, each model of which is tuned.")],
    space: Annotated[
        str, typer.Argument(help="A search space, or a folder that holds one for each model, by its name.")
    ] = "configs/tuning",
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
    executor: ExecutorOption = "local",
    workers: Workers = 1,
    run_memory: RunMemory = None,
    address: Address = "auto",
    data_url: DataUrl = None,
    shards: Shards = 1,
) -> None:
    """Search the settings of an experiment, or of each of a suite, by validation; run the best on the declared seeds.

    The same command goes on with what was interrupted; started several times, the processes share one study. Trials
    are made in this process; executors make the runs of the winners.
    """
    budget, search = Budget(trials, seconds), Search(sampler, pruner, study_seed)
    experiments, spaces = _spaces(config, space, tuple(overrides), tuple(seed))
    choice = Choice(executor, workers, run_memory, address, data_url, shards)
    settings = choice.settings(out_dir, device, threads, resume=True, reuse_stale=reuse_stale)
    preparer = Preparer(data_dir)
    to_extract = [source for one in experiments for source in one.config.to_extract]
    extract_for(to_extract, preparer, data_dir, settings.device)
    studies, failures = run_studies(spaces, search, budget, preparer, settings, storage)
    chosen = with_winners(experiments, spaces, studies)
    winners = [one for one in chosen if one is not None]
    outcome = run_experiments(winners, [], settings, preparer, reuse_stale, choice.executor(data_dir, device))
    outcome = replace(outcome, failures=(*failures, *outcome.failures))
    tuned = {experiments[row].label: study.manifest["fingerprints"]["study"] for row, study in studies.items()}
    for label, artefact in outcome.runs:
        note = _made_before(artefact, tuned[label]) if label in tuned else ""
        out.print(f"run: {artefact.folder}{note}", highlight=False, markup=False)
    title = f"{Path(config).stem}, tuned with {budget}"
    print_report(make_report(title, command_line(), outcome.runs, failures=outcome.failures), headline_only=False)
    finish(outcome)


def _made_before(run: RunArtefact, study: str) -> str:
    """Return in words that a run of a winner was there before its study, and does not name it; empty otherwise."""
    told = run.manifest.get("tuning")
    if not told:
        return " (made before, by hand: it does not name this study)"
    return "" if told["study"] == study else " (made before: it names another study, or one of another budget)"


def run_studies(
    spaces: Sequence[Space | None],
    search: Search,
    budget: Budget,
    preparer: Preparer,
    settings: RunSettings,
    storage: str | None = None,
) -> tuple[dict[int, StudyArtefact], list[Failure]]:
    """Spend the same budget on each space, and print how it goes on.

    Returns:
        The studies by the row of their space, and what failed; of a single space that is an error.
    """
    studies: dict[int, StudyArtefact] = {}
    failures: list[Failure] = []
    for row, space in enumerate(spaces):
        if space is None:
            continue
        out.print(f"tuning {space.experiment.label}: {budget}", highlight=False, markup=False)
        try:
            studies[row] = run_study(space, search, budget, preparer, settings, _Lines(), storage)
        except KeyboardInterrupt:
            errors.print("interrupted: finished trials are kept; the same command goes on", highlight=False)
            raise typer.Exit(130) from None
        except MMRecBenchError as error:
            if len(spaces) == 1 or isinstance(error, (ResourceError, MissingExtraError)):
                raise
            failures.append(Failure(space.experiment.label, None, str(error)))
            errors.print(f"{space.experiment.label} failed: {error}", style="red", highlight=False, markup=False)
            continue
        _tell(studies[row])
    return studies, failures


def _spaces(
    config: str, space: str, overrides: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Sequence[Experiment], Sequence[Space | None]]:
    """Return the experiments to tune, and the search space of each.

    Raises:
        ConfigError: With all issues of all experiments and spaces at once.
    """
    if not is_suite(load_yaml(find_yaml("configs", config))):
        one = [load_experiment(config, (*overrides, *((f"seeds={list(seeds)}",) if seeds else ())))]
        return one, spaces_of(config, one, space)
    suite = load_suite(config, overrides, seeds or None)
    if suite.config.tuning is not None:
        message = "is declared by the suite itself: run it with `mmrec-bench bench`, or remove it"
        raise ConfigError(config, [ConfigIssue("tuning", message)])
    if suite.knockouts or suite.probes:
        told = "knockouts and probes of the suite are not made: `mmrec-bench bench` makes them"
        errors.print(told, highlight=False, markup=False)
    return suite.experiments, spaces_of(config, suite.experiments, space)


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

    def on_start(self, n_finished: int) -> None:
        """Print how many trials there are already."""
        if n_finished:
            out.print(f"{n_finished} trials are there already", highlight=False)

    def on_trial(self, number: int, values: Mapping[str, Any]) -> None:
        """Wait for its end."""

    def on_score(self, number: int, values: Mapping[str, Any], score: TrialScore) -> None:
        """Print how it ended."""
        told = score.outcome if score.score is None else f"{score.score:.4f}"
        reason = "" if score.message is None else f" ({score.message.splitlines()[0]})"
        out.print(f"trial {number}: {told}{reason}  {_settings(values)}", highlight=False, markup=False)


def _tell(study: StudyArtefact) -> None:
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
