"""Commands of the LIS probe: what a ranker would gain from the future, and how near honest features come to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmrec_bench.cli.console import (
    DataDir,
    Device,
    FirstByDefault,
    Out,
    Overrides,
    ReportDir,
    ReuseStale,
    Seeds,
    Threads,
    command_line,
    out,
    print_facts,
    print_table,
    run_settings,
)
from mmrec_bench.cli.extraction import extract_for
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.lis.config import LoadedProbe, is_lis, load_lis
from mmrec_bench.experiments.lis.features import feature_sets, measure_features
from mmrec_bench.experiments.lis.probe import probe_all
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.reports.plots.bars import bars_plot
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml

Config = Annotated[str, typer.Argument(help="A probe's YAML, such as configs/lis/synthetic-clicks.yaml.")]

app = typer.Typer(
    cls=FirstByDefault,
    help="Measure what leaked behaviour would bring a CTR model, by `lis CONFIG`; rank features by it: `lis compare`.",
    no_args_is_help=True,
)


@app.command()
def probe(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    seed: Seeds = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    report_dir: ReportDir = Path("reports/lis"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: ReuseStale = False,
) -> None:
    """Measure every leak and control of a probe; what is there is not made again."""
    settings = run_settings(out_dir, device, threads, resume=True, reuse_stale=reuse_stale)
    report, name = _reported(config, overrides, seed, data_dir, settings)
    print_table(report.lis_table())
    if (table := report.ais_table()) is not None:
        print_table(table)
    print_facts(report.facts())
    for written in report.write(report_dir / name):
        out.print(f"report: {written}", highlight=False, markup=False)


@app.command()
def compare(
    config: Config,
    overrides: Overrides = [],  # noqa: B006
    seed: Seeds = [],  # noqa: B006
    out_dir: Out = Path("runs"),
    report_dir: ReportDir = Path("reports/lis"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: ReuseStale = False,
) -> None:
    """Rank sets of features by how near they come to the bound, from one trained M_T and a short update each."""
    settings = run_settings(out_dir, device, threads, resume=True, reuse_stale=reuse_stale)
    report, name = _reported(config, overrides, seed, data_dir, settings)
    if (table := report.ais_table()) is None:
        raise ConfigError(config, [ConfigIssue("features", "names no set, so there is nothing to compare")])
    print_table(table)
    chart = [(row.variant.control or "", row.impact.mean, *row.impact.interval) for row in report.ranked]
    chart = [
        *((f"LIS, {row.variant.name}", row.impact.mean, *row.impact.interval) for row in report.bounds), *chart,
    ]  # fmt: skip
    plot = bars_plot("compare", f"{name}: AIS beside LIS", table.note, "gain of AUC over M_T", chart)
    texts = {"compare.md": table.markdown(), "compare.svg": plot.svg}
    for written in write_all(report_dir / name, texts):
        out.print(f"report: {written}", highlight=False, markup=False)


def validated(config: str, overrides: tuple[str, ...]) -> str | None:
    """Return what a valid YAML of a probe is, in words; None if it is of another kind.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    if not is_lis(load_yaml(find_yaml("configs", config))):
        return None
    told = load_lis(config, overrides).config
    leaks = ", ".join(leak.name for leak in told.leaks)
    return f"probe of {told.model.label} on {told.dataset.card}: {leaks}; {len(told.seeds)} seed(s)"


def measured(loaded: LoadedProbe, preparer: Preparer, settings: RunSettings) -> LisReport:
    """Return the report of a probe; seeds and sets of features that are not there are measured first."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(loaded.path.stem, total=None)

        def told(seed: int, name: str) -> None:
            bar.update(task, description=f"{loaded.path.stem}, seed {seed}: {name}")

        probe, artefacts = probe_all(loaded, preparer, settings, told)
        scores: dict[str, list[pd.DataFrame]] = {}
        for found in feature_sets(probe, preparer, settings):
            for artefact in artefacts:
                told(int(artefact.manifest["seed"]), found.name)
                scores.setdefault(found.name, []).append(measure_features(probe, found, artefact, settings))
    command = command_line()
    return LisReport(f"LIS, {loaded.path.stem}", command, loaded.config, artefacts, scores)


def _reported(
    config: str, overrides: list[str], seeds: list[int], data_dir: Path | None, settings: RunSettings
) -> tuple[LisReport, str]:
    """Return the report of a probe's YAML, and its name."""
    loaded = load_lis(config, (*overrides, *((f"seeds={seeds}",) if seeds else ())))
    preparer = Preparer(data_dir)
    extract_for(loaded.config.to_extract, preparer, data_dir, settings.device)
    return measured(loaded, preparer, settings), loaded.path.stem
