"""Commands of ``mmrec-bench``. Exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable

import mmrec_bench
from mmrec_bench.cli import doctor as doctor_facts
from mmrec_bench.cli.progress import RunProgress
from mmrec_bench.data.cards import card_names, find_data, load_card
from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.experiments.artefact import RunArtefact, find_runs
from mmrec_bench.experiments.compare import differences
from mmrec_bench.experiments.environment import choose_device, limit_memory, use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema import Experiment, is_suite, load_experiment, load_suite
from mmrec_bench.experiments.suite import Outcome, plan, run_all
from mmrec_bench.models.base import MODELS
from mmrec_bench.reports.report import Report, make_report
from mmrec_bench.reports.tables import Table
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml

app = typer.Typer(
    name="mmrec-bench",
    help="A multimodal recommender benchmarking toolkit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

Overrides = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Override a value; may be repeated.")]
Seeds = Annotated[list[int], typer.Option("--seed", help="Run these seeds instead; may be repeated.")]
Out = Annotated[Path, typer.Option("--out", help="Root of all run folders.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", envvar="MMREC_BENCH_DATA", help="Where the data folders lie.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all cores by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")]
ReuseStale = Annotated[bool, typer.Option("--reuse-stale", help="Keep finished runs that were made by other code.")]
ReportDir = Annotated[Path, typer.Option("--report-dir", help="Where reports are written.")]


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except MMRecBenchError as error:
        errors.print(f"error: {error}", style="red", highlight=False, markup=False)
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
) -> None:
    """Run one experiment, each of its seeds, and print the table."""
    seeds = (f"seeds={seed}",) if seed else ()
    experiment = load_experiment(config, (*overrides, *seeds))
    settings = _settings(out_dir, device, threads, resume)
    preparer = Preparer(data_dir)
    preparer(experiment)  # bad data is bad input: one error, exit code 2
    outcome = _run_all([experiment], settings, preparer, reuse_stale)
    for _, artefact in outcome.runs:
        out.print(f"run: {artefact.folder}", highlight=False, markup=False)
    report = make_report(experiment.label, shlex.join(sys.argv), outcome.runs, failures=outcome.failures)
    _print_report(report, headline_only=False)
    _finish(outcome)


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
) -> None:
    """Run a suite: skip what is there, go on with what was interrupted, write the report."""
    loaded = load_suite(suite, tuple(overrides), tuple(seed) or None)
    settings = _settings(out_dir, device, threads, resume=True)
    outcome = _run_all(list(loaded.experiments), settings, Preparer(data_dir), reuse_stale)
    report = make_report(
        loaded.config.title,
        shlex.join(["mmrec-bench", *sys.argv[1:]]),
        outcome.runs,
        description=loaded.config.description,
        failures=outcome.failures,
    )
    _print_report(report, headline_only=True)
    page, numbers = report.write(report_dir / loaded.name)
    out.print(f"report: {page}\nnumbers: {numbers}", highlight=False, markup=False)
    _finish(outcome)


@app.command("plan")
def plan_suite(
    suite: Annotated[str, typer.Argument(help="A suite's or an experiment's YAML.")],
    overrides: Overrides = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    data_dir: DataDir = None,
) -> None:
    """List the runs of a suite and what lies in their folders: new, partial, stale or done."""
    planned, failures = plan(_experiments(suite, tuple(overrides)), Preparer(data_dir), out_dir)
    rows = [(item.state, item.experiment.label, str(item.key.seed), str(item.key.folder(out_dir))) for item in planned]
    _print_rows(("state", "model", "seed", "folder"), rows)
    for failure in failures:
        errors.print(f"cannot run {failure.label}: {failure.message}", style="red", highlight=False, markup=False)
    if failures:
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")],
    report_dir: ReportDir = Path("reports/runs"),
    title: Annotated[str, typer.Option(help="Heading.")] = "Runs",
) -> None:
    """Make the report of run folders again."""
    found: list[tuple[str | None, RunArtefact]] = [(None, artefact) for artefact in find_runs(runs)]
    made = make_report(title, shlex.join(["mmrec-bench", *sys.argv[1:]]), found)
    _print_report(made, headline_only=True)
    page, numbers = made.write(report_dir)
    out.print(f"report: {page}\nnumbers: {numbers}", highlight=False, markup=False)


@app.command()
def diff(
    left: Annotated[Path, typer.Argument(help="A run folder.")],
    right: Annotated[Path, typer.Argument(help="Another run folder.")],
) -> None:
    """Show in what two runs differ: config, data, code, environment, metrics."""
    rows = differences(RunArtefact.load(left), RunArtefact.load(right))
    if rows:
        _print_rows(("what", "left", "right"), rows)
    else:
        out.print("no difference")


@app.command()
def validate(
    config: Annotated[str, typer.Argument(help="An experiment's or a suite's YAML.")],
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Check a YAML without running it; all errors are reported at once."""
    experiments = _experiments(config, tuple(overrides))
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
        features = ", ".join(entry.modalities) or ("any" if entry.uses_features else "none")
        paper = f"{entry.paper.venue}, {entry.paper.url}" if entry.paper else "-"
        rows.append((name, entry.task, features, entry.exports, paper))
    _print_rows(("model", "task", "features", "exports", "paper"), rows)
    for source, reason in MODELS.broken.items():
        errors.print(f"plug-in {source} could not be imported: {reason}", style="red", highlight=False, markup=False)


@app.command()
def datasets(data_dir: DataDir = None) -> None:
    """List the data set cards and where their files were found."""
    rows = []
    for name in card_names():
        card = load_card(name)
        rows.append((name, *doctor_facts.card_counts(card), doctor_facts.where(card, find_data(card, data_dir))))
    _print_rows(("card", "users", "items", "interactions", "modalities", "files"), rows)


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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """A multimodal recommender benchmarking toolkit."""


def _settings(out_dir: Path, device: str, threads: int | None, resume: bool) -> RunSettings:
    chosen = choose_device(device)
    if chosen.type == "cpu":  # CUDA reserves addresses that count, but are no memory
        limit_memory()
    return RunSettings(out_dir, chosen, use_threads(threads), resume)


def _experiments(config: str, overrides: tuple[str, ...]) -> list[Experiment]:
    if is_suite(load_yaml(find_yaml("configs", config))):
        return list(load_suite(config, overrides).experiments)
    return [load_experiment(config, overrides)]


def _run_all(experiments: list[Experiment], settings: RunSettings, preparer: Preparer, reuse_stale: bool) -> Outcome:
    with RunProgress(out, errors, resume=settings.resume) as progress:
        planned, failures = plan(experiments, preparer, settings.out)
        for failure in failures:
            progress.on_failure(failure)
        try:
            return run_all(planned, settings, progress, failures=failures, reuse_stale=reuse_stale)
        except KeyboardInterrupt:
            errors.print("interrupted: finished runs are kept; `bench`, or `run --resume`, goes on", highlight=False)
            raise typer.Exit(130) from None


def _finish(outcome: Outcome) -> None:
    if outcome.reused:
        out.print(f"{outcome.reused} of {len(outcome.runs)} runs were there already", highlight=False)
    if outcome.failures:
        errors.print(f"{len(outcome.failures)} failed (see above)", style="red", highlight=False)
        raise typer.Exit(1)


def _print_report(made: Report, *, headline_only: bool) -> None:
    for groups in made.groups.values():
        for group in groups:
            for table in group.tables[:1] if headline_only else group.tables:
                _print_table(table)
            for fact in group.facts:
                out.print(f"- {fact}", style="dim", highlight=False, markup=False)


def _print_table(table: Table) -> None:
    out.print()
    out.print(table.title, style="bold", highlight=False, markup=False)
    _print_rows(table.header, table.rows)
    out.print(table.note, style="dim", highlight=False, markup=False)


def _print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        shown.add_column(escape(name), justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    # A table is never cut to the terminal's width: in a log file or a pipe there is none.
    width = Measurement.get(out, out.options.update(width=10_000), shown).maximum
    Console(width=max(width, out.width)).print(shown)
