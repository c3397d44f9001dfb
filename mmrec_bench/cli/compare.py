"""The command that compares runs: which differences are more than luck."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import command_line, print_facts, print_table, print_written
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.reports.comparisons.family import Family, load_family
from mmrec_bench.reports.comparisons.files import write_comparisons
from mmrec_bench.reports.comparisons.pairs import compare_runs
from mmrec_bench.reports.comparisons.tables import facts_of_comparisons, tables_of_comparisons


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")],
    family: Annotated[
        Path | None, typer.Option("--family", help="YAML of comparisons declared beforehand; adjusted by Holm.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Label of the row all others are compared with; adjusted by Holm.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Test metric; by default the one that chose the weights.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="Share of the second mean within which rows count as equivalent.")
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Write comparisons.md, .csv, .json and diagrams of ranks to this folder."),
    ] = None,
) -> None:
    """Compare runs in pairs. Without a family or a baseline all pairs are explored, and nothing is claimed."""
    declared = _family(family, baseline, metric, margin)
    tables = compare_runs(find_runs(runs), declared)
    for made in tables:
        for table in tables_of_comparisons(made, declared):
            print_table(table)
        print_facts(facts_of_comparisons(made, declared))
    if out_dir is not None:
        print_written(write_comparisons(out_dir, tables, declared, command_line()))


def _family(path: Path | None, baseline: str | None, metric: str | None, margin: float | None) -> Family:
    given = {"--baseline": baseline, "--metric": metric, "--margin": margin}
    if path is not None:
        if extra := [name for name, value in given.items() if value is not None]:
            message = f"the file says what is compared, in which metric and margin; leave {', '.join(extra)} out"
            raise ConfigError(f"--family {path}", [ConfigIssue("", message)])
        return load_family(path)
    if margin is not None and not 0 < margin < 1:
        raise ConfigError(
            "--margin", [ConfigIssue("margin", f"is a share above 0 and below 1, such as 0.01; got {margin}")]
        )
    if baseline is not None:
        return Family(f"against {baseline}", "holm", metric, margin, baseline=baseline)
    return Family("all pairs", "benjamini-hochberg", metric, margin)
