"""The command that applies changed metrics to all stored submissions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, Threads, errors, out, print_rows
from mmrec_bench.cli.submissions import SUBMISSIONS
from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.leaderboard.rescore import Rescored
from mmrec_bench.leaderboard.rescore import rescore as rescored
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.visible_text import visible, visible_lines

DIGITS = 4


def rescore(
    submissions: Annotated[Path, typer.Option("--submissions", help="Folder of all submissions.")] = SUBMISSIONS,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 where a record is stale.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Make records of today's versions again, too.")] = False,
    data_dir: DataDir = None,
    threads: Threads = None,
) -> None:
    """Make the records anew that other versions of metrics made, from the stored lists; exit code 1 where one fails."""
    use_threads(threads)
    found = list(rescored(submissions, Verification(data_dir), write=not check, everything=everything))
    told = [one for one in found if one.outcome != "current"]
    if told:
        print_rows(("entry", "outcome", "changed", "headline"), [_cells(one) for one in told], n_texts=4)
    for one in told:
        if one.reason:
            errors.print(f"{visible(str(one.path))}: {visible_lines(one.reason)}", highlight=False, markup=False)
    counts = Counter(one.outcome for one in found)
    outcomes = ", ".join(f"{n} {name}" for name, n in counts.items())
    out.print(f"{len(found)} records{': ' if found else ''}{outcomes}", highlight=False)
    if any(one.outcome in ("failed", "stale") for one in told):
        raise typer.Exit(1)


def _cells(one: Rescored) -> tuple[str, str, str, str]:
    moved = (one.moved or {}).items()
    headline = ", ".join(f"{name} {_number(before)} to {now:.{DIGITS}f}" for name, (before, now) in moved)
    entry = visible(f"{one.path.parent.name}/{one.path.name}")
    return entry, one.outcome, ", ".join(one.changed) or "-", headline or "-"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.{DIGITS}f}"
