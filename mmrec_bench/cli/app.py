"""Commands of ``mmrec-bench``. Exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import mmrec_bench
from mmrec_bench.cli import card, data, features, leaderboard, lis, sessions
from mmrec_bench.cli import doctor as doctor_facts
from mmrec_bench.cli.audit import audit
from mmrec_bench.cli.compare import compare
from mmrec_bench.cli.console import (
    DataDir,
    Device,
    Energy,
    Margin,
    Out,
    Overrides,
    ReportDir,
    Resume,
    ReuseStale,
    Seeds,
    Threads,
    command_line,
    errors,
    out,
    print_rows,
)
from mmrec_bench.cli.diff import diff
from mmrec_bench.cli.errors import browse
from mmrec_bench.cli.executors import Address, Choice, DataUrl, ExecutorOption, RunMemory, Shards, Workers
from mmrec_bench.cli.extraction import extract_for
from mmrec_bench.cli.ledger import ledger
from mmrec_bench.cli.legacy import legacy_selection, tell_legacy
from mmrec_bench.cli.plan import plan
from mmrec_bench.cli.running import finish, print_report, run_experiments, write_report
from mmrec_bench.cli.torchrun import check_command, executor_of, follow_leader, joined, threads_each
from mmrec_bench.cli.tune import run_studies, space_of, tune
from mmrec_bench.data.cards import card_names, find_data, load_card
from mmrec_bench.data.families import family_names, load_family
from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.experiments.artefact import RunArtefact, find_runs
from mmrec_bench.experiments.forecast import Forecast
from mmrec_bench.experiments.knockout import DEFAULT_MARGIN, KnockoutConfig
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import Experiment, is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.experiments.tuning.search import with_winners
from mmrec_bench.experiments.tuning.studies import StudyArtefact, find_studies
from mmrec_bench.experiments.variants import variants_of
from mmrec_bench.models.base import MODELS
from mmrec_bench.reports.errors.items import item_views
from mmrec_bench.reports.forecast import comparison_table
from mmrec_bench.reports.report import make_report
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import Document, load_yaml
from mmrec_bench.visible_text import visible_lines

app = typer.Typer(
    name="mmrec-bench",
    help="A multimodal recommender benchmarking toolkit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(card.app, name="card")
app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(lis.app, name="lis")
app.add_typer(sessions.app, name="sessions")
app.command()(audit)
app.command()(compare)
app.command()(diff)
app.command()(ledger)
app.command()(legacy_selection)
app.command("errors")(browse)
app.command()(plan)
app.command()(tune)


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except MMRecBenchError as error:
        errors.print(f"error: {visible_lines(str(error))}", style="red", highlight=False, markup=False)
        sys.exit(2)


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="An experiment's YAML, such as configs/amazon-baby/lightgcn.yaml.")],
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    seed: Seeds = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    resume: Resume = False,
    reuse_stale: ReuseStale = False,
    energy: Energy = False,
    knockout: Annotated[bool, typer.Option("--knockout", help="Test which modalities the model uses, too.")] = False,
    margin: Margin = DEFAULT_MARGIN,
    executor: ExecutorOption = "local",
    workers: Workers = 1,
    run_memory: RunMemory = None,
    address: Address = "auto",
    data_url: DataUrl = None,
    shards: Shards = 1,
) -> None:
    """Run one experiment, each of its seeds, and print the table."""
    seeds = (f"seeds={seed}",) if seed else ()
    experiment = load_experiment(config, (*overrides, *seeds))
    tampered = variants_of([experiment] if knockout else [], _knockout(margin))
    choice, each = Choice(executor, workers, run_memory, address, data_url, shards), threads_each(threads)
    settings = choice.settings(out_dir, device, each, resume=resume, reuse_stale=reuse_stale, energy=energy)
    team = joined(settings.device)
    made_by = executor_of(team, choice.executor(data_dir, device))
    preparer = Preparer(data_dir)
    team.leader_first(lambda: extract_for(experiment.config.to_extract, preparer, data_dir, settings.device))
    preparer(experiment)  # bad data is bad input: one error, exit code 2
    if team.rank:
        follow_leader([experiment, *tampered], team, settings, preparer)
        return
    outcome = run_experiments([experiment], tampered, settings, preparer, reuse_stale, made_by)
    team.finish()
    for _, artefact in outcome.runs:
        out.print(f"run: {artefact.folder}", highlight=False, markup=False)
    report = make_report(
        experiment.label, command_line(), outcome.runs, extra=outcome.extra, margin=margin, failures=outcome.failures
    )
    print_report(report, headline_only=False)
    finish(outcome)


@app.command()
def bench(
    suite: Annotated[str, typer.Argument(help="A suite's YAML, such as configs/suites/quick.yaml.")],
    overrides: Overrides = [],  # noqa: B006
    seed: Seeds = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    report_dir: ReportDir = Path("reports"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: ReuseStale = False,
    energy: Energy = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch and prepare data that is not there.")] = False,
    executor: ExecutorOption = "local",
    workers: Workers = 1,
    run_memory: RunMemory = None,
    address: Address = "auto",
    data_url: DataUrl = None,
    shards: Shards = 1,
) -> None:
    """Run a suite: skip what is there, go on with what was interrupted, write the report."""
    loaded = load_suite(suite, tuple(overrides), tuple(seed) or None)
    if fetch:
        needed = [one.config.dataset.card for one in loaded.experiments]
        data.obtain_missing([*needed, *(probe.config.dataset.card for probe in loaded.probes)], data_dir, threads)
    choice = Choice(executor, workers, run_memory, address, data_url, shards)
    settings = choice.settings(out_dir, device, threads, resume=True, reuse_stale=reuse_stale, energy=energy)
    preparer = Preparer(data_dir)
    read = [source for one in loaded.experiments for source in one.config.to_extract]
    read += [source for probe in loaded.probes for source in probe.config.to_extract]
    extract_for(read, preparer, data_dir, settings.device)
    told = Forecast.load(Forecast.path(out_dir, loaded.name))  # a damaged one is told before hours of runs
    failures: list[Failure] = []
    studies: dict[int, StudyArtefact] = {}
    if (tuning := loaded.config.tuning) is not None:
        studies, failures = run_studies(loaded.spaces, tuning.search, tuning.budget, preparer, settings)
        loaded = loaded.with_chosen(with_winners(loaded.experiments, loaded.spaces, studies))
    tampered = variants_of(loaded.knockouts, loaded.config.knockout)
    outcome = run_experiments(
        loaded.experiments, tampered, settings, preparer, reuse_stale, choice.executor(data_dir, device)
    )
    probes, failures = [], [*failures, *outcome.failures]
    for probe in loaded.probes:
        try:
            probes.append(lis.measured(probe, preparer, settings))
        except MMRecBenchError as error:
            failures.append(Failure(f"probe {probe.path.stem}", None, str(error)))
    report = make_report(
        loaded.config.title,
        command_line(),
        outcome.runs,
        extra=outcome.extra,
        margin=loaded.config.knockout.margin,
        description=loaded.config.description,
        failures=failures,
        probes=probes,
        studies=list(studies.values()),
        draw=True,
        forecast=None if told is None else comparison_table(told, (*outcome.runs, *outcome.extra)),
    )
    print_report(report, headline_only=True)
    write_report(report, report_dir / loaded.name)
    card.write(report_dir / loaded.name, outcome.runs)
    finish(dataclasses.replace(outcome, failures=tuple(failures)))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")],
    report_dir: ReportDir = Path("reports/runs"),
    title: Annotated[str, typer.Option(help="Heading.")] = "Runs",
    margin: Margin = DEFAULT_MARGIN,
    errors_too: Annotated[
        bool, typer.Option("--errors", help="Show users whom the first two rows of a table serve most differently.")
    ] = False,
    data_dir: DataDir = None,
    legacy: Annotated[
        bool, typer.Option("--legacy-selection", help="RUNS are studies: the same as the command legacy-selection.")
    ] = False,
) -> None:
    """Make the report of run folders again."""
    if legacy:
        tell_legacy(runs, report_dir, data_dir)
        return
    found: list[tuple[str | None, RunArtefact]] = [(None, artefact) for artefact in find_runs(runs)]
    made = make_report(
        title, command_line(), found, margin=_knockout(margin).margin, studies=find_studies(runs), draw=True,
        shown=(lambda run: item_views(run, data_dir, "valid")) if errors_too else None,
    )  # fmt: skip
    print_report(made, headline_only=True)
    write_report(made, report_dir)
    card.write(report_dir, found)


@app.command()
def validate(
    config: Annotated[str, typer.Argument(help="The YAML of an experiment, a suite, features or a search space.")],
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Check a YAML without running it; all errors are reported at once."""
    told = features.validated(config, tuple(overrides)) or lis.validated(config, tuple(overrides)) or space_of(config)
    if told is not None:
        out.print(f"ok: {told}", highlight=False, markup=False)
        return
    experiments, _ = _experiments(config, tuple(overrides))
    for item in experiments:
        what = item.config
        out.print(
            f"ok: {item.label} on {what.dataset.card}, {len(what.seeds)} seed(s), {what.protocol.id}",
            highlight=False,
            markup=False,
        )


@app.command()
def models() -> None:
    """List the registered models."""
    rows = []
    for name in MODELS:
        entry = MODELS[name]
        reads = "optional" if entry.task in ("ranking", "ctr") else "any"
        features = ", ".join(entry.modalities) or (reads if entry.uses_features else "none")
        paper = f"{entry.paper.venue}, {entry.paper.url}" if entry.paper else "-"
        exports = entry.exports if entry.task == "retrieval" else "-"
        rows.append((name, entry.task, features, exports, paper))
    print_rows(("model", "task", "features", "exports", "paper"), rows)
    for source, reason in MODELS.broken.items():
        errors.print(f"plug-in {source} could not be imported: {reason}", style="red", highlight=False, markup=False)


@app.command()
def datasets(data_dir: DataDir = None) -> None:
    """List the data set cards and where their files were found."""
    rows = []
    for name in card_names():
        card = load_card(name)
        rows.append((name, *doctor_facts.card_counts(card), doctor_facts.where(card, find_data(card, data_dir))))
    print_rows(("card", "holds", "users", "items", "interactions", "lists", "modalities", "files"), rows)
    for family in family_names():
        found = load_family(family)
        out.print(
            f"{family}:CATEGORY: {found.title}, {len(found.categories)} categories; see `mmrec-bench data categories`",
            highlight=False,
            markup=False,
        )


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Show versions, processors, faiss build, threads, memory, extras and data."""
    for section, rows in doctor_facts.examine(data_dir):
        out.print(f"[bold]{escape(section)}[/bold]")
        for name, value in rows:
            out.print(f"  {name:<22} {value}", highlight=False, markup=False)


def _version(value: bool) -> None:
    if value:
        out.print(mmrec_bench.__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """A multimodal recommender benchmarking toolkit."""
    check_command(context.invoked_subcommand)


def _experiments(config: str, overrides: tuple[str, ...]) -> tuple[Sequence[Experiment], Sequence[Experiment]]:
    """Return the experiments of a suite, or the one, and what its knockouts run besides."""
    if is_suite(load_yaml(find_yaml("configs", config))):
        suite = load_suite(config, overrides)
        return suite.experiments, variants_of(suite.knockouts, suite.config.knockout)
    return [load_experiment(config, overrides)], []


def _knockout(margin: float) -> KnockoutConfig:
    return Document("--margin", {"margin": margin}).parse(KnockoutConfig)
