"""What all commands share: where they print, their options, and how tables look."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable
from typer.core import TyperGroup

from mmrec_bench.experiments.environment import choose_device, limit_memory, use_threads
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.extras import import_codecarbon
from mmrec_bench.reports.table import Table

out = Console(soft_wrap=True, emoji=False)  # :Baby: is part of the name of a data set, not a picture
errors = Console(stderr=True, soft_wrap=True, emoji=False)

Overrides = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Override a value; may be repeated.")]
Seeds = Annotated[list[int], typer.Option("--seed", help="Run these seeds instead; may be repeated.")]
Out = Annotated[Path, typer.Option("--out", help="Root of all run folders.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", envvar="MMREC_BENCH_DATA", help="Where the data folders lie.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, max=4096, help="Threads; all cores by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")]
Energy = Annotated[
    bool, typer.Option("--energy", help="Measure the energy of runs, or estimate it; needs the extra 'energy'.")
]
ReuseStale = Annotated[
    bool, typer.Option("--reuse-stale", help="Keep finished runs and features that were made by other code.")
]
Margin = Annotated[
    float, typer.Option("--margin", help="Knockouts: the share of the real score that counts as no difference.")
]
ReportDir = Annotated[Path, typer.Option("--report-dir", help="Where reports are written.")]


class FirstByDefault(TyperGroup):
    """A group whose first command needs no name, so that ``card RUNS`` is short for ``card make RUNS``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name in front where none is given."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def command_line() -> str:
    """Return the command as it was given."""
    return shlex.join(["mmrec-bench", *sys.argv[1:]])


def run_settings(
    out_dir: Path, device: str, threads: int | None, resume: bool, reuse_stale: bool = False, energy: bool = False
) -> RunSettings:
    """Return how runs are made, and have this process use the device and threads."""
    chosen = choose_device(device)
    if chosen.type == "cpu":  # CUDA reserves addresses that count, but are no memory
        limit_memory()
    if energy:
        import_codecarbon()  # what is not installed is told before the first run, not by it
    return RunSettings(out_dir, chosen, use_threads(threads), resume, reuse_stale, energy)


def print_table(table: Table) -> None:
    """Print a table with its heading and note."""
    out.print()
    out.print(table.title, style="bold", highlight=False, markup=False)
    print_rows(table.header, table.rows)
    out.print(table.note, style="dim", highlight=False, markup=False)


def print_facts(facts: Iterable[str]) -> None:
    """Print what a reader must know, a line each."""
    for fact in facts:
        out.print(f"- {fact}", style="dim", highlight=False, markup=False)


def print_written(paths: Iterable[Path]) -> None:
    """Say which files were written."""
    for path in paths:
        out.print(f"written: {path}", highlight=False, markup=False)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], n_texts: int = 1) -> None:
    """Print aligned columns; the first ``n_texts`` are text, the others numbers."""
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        shown.add_column(escape(name), justify="left" if index < n_texts else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    # A table is never cut to the terminal's width: in a log file or a pipe there is none.
    width = Measurement.get(out, out.options.update(width=10_000), shown).maximum
    Console(width=max(width, out.width), emoji=False).print(shown)
