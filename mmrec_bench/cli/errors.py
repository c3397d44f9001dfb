"""The command that shows users whom two models serve differently."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmrec_bench.cli.console import DataDir, command_line, out, print_facts, print_written
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.errors.browser import browse_errors
from mmrec_bench.reports.errors.items import item_views
from mmrec_bench.reports.errors.pages import summary


def browse(
    first: Annotated[Path, typer.Argument(help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(help="The folder of another run of the same protocol and data.")],
    users: Annotated[int, typer.Option("--users", min=2, help="Users that are shown, half of them each way.")] = 20,
    metric: Annotated[
        str | None, typer.Option("--metric", help="By what they are chosen; the metric of selection by default.")
    ] = None,
    part: Annotated[
        Literal["valid", "test"], typer.Option("--part", help="Part of the split; `test` opens the vault.")
    ] = "valid",
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of pictures, named by item ids, to hold in the page.")
    ] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where errors.html and errors.md are written.")] = Path(
        "reports/errors"
    ),
    data_dir: DataDir = None,
) -> None:
    """Show the users whom two runs serve most differently: history, what was wanted, both lists."""
    runs = RunArtefact.load(first), RunArtefact.load(second)
    items = item_views(runs[0], data_dir, part, images)
    browser = browse_errors(*runs, items, n_users=users, metric=metric, part=part, command=command_line())
    out.print(summary(browser), highlight=False, markup=False)
    print_facts(browser.notes)
    print_written(browser.write(out_dir))
