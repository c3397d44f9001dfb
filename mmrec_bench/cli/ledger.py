"""The command that makes the reproduction ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import print_written
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.ledger.page import ledger_page
from mmrec_bench.reports.ledger.schema import read_ledger


def ledger(
    folder: Annotated[Path, typer.Argument(help="Folder with published.yaml, peers.yaml, cards/ and legacy.json.")],
    page: Annotated[Path, typer.Option("--out", help="The page that is written.")] = Path("docs/reproduction.md"),
) -> None:
    """Write the page of a reproduction ledger from the files of its folder, and from nothing else."""
    command = f"mmrec-bench ledger {folder.as_posix()} --out {page.as_posix()}"
    link = Path(os.path.relpath(folder, page.parent)).as_posix()
    text = ledger_page(read_ledger(folder), link, command)
    print_written(write_all(page.parent, {page.name: text}))
