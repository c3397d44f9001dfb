"""The command that shows what tuning on the test part would have published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, Device, Threads, command_line, out, print_table, print_written
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.legacy.emulation import Options, emulated
from mmrec_bench.experiments.tuning.studies import find_studies
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.legacy import legacy_file, legacy_frame, legacy_table, selection_of


def legacy_selection(
    studies: Annotated[list[Path], typer.Argument(help="Study folders, or folders above them.")],
    folder: Annotated[Path, typer.Option("--out", help="Where scores (legacy/...) and tables are written.")] = Path(
        "reports/legacy"
    ),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    reuse_stale: Annotated[
        bool, typer.Option("--reuse-stale", help="Accept weights of other code that score on validation as they did.")
    ] = False,
    decimals: Annotated[
        int | None, typer.Option(min=1, help="Round test scores before they are compared; the MMRec harness takes 4.")
    ] = None,
) -> None:
    """Show what choosing settings by the test part would have published, beside what validation chose.

    The kept weights of complete trials are scored in a process of its own. Nothing that tunes or reports results reads
    what is written.
    """
    tell_legacy(studies, folder, data_dir, device, threads, reuse_stale, decimals)


def tell_legacy(
    studies: Sequence[Path],
    folder: Path,
    data_dir: Path | None,
    device: str = "auto",
    threads: int | None = None,
    reuse_stale: bool = False,
    decimals: int | None = None,
) -> None:
    """Score what is not scored yet, print the table and write it as Markdown, CSV and JSON."""
    found = find_studies(studies)
    if not found:
        raise ArtefactError(f"{', '.join(map(str, studies))}: holds no finished study; `mmrec-bench tune` makes them")
    selections = []
    for study in found:
        told = Options(
            str(study.folder), str(folder), None if data_dir is None else str(data_dir), device, threads, reuse_stale
        )
        selections.append(selection_of(emulated(told), decimals))
        out.print(f"scored: {study.folder}", highlight=False, markup=False)
    table = legacy_table(selections)
    print_table(table)
    texts = {
        "legacy-selection.md": f"Made by `{command_line()}`.\n\n{table.markdown()}",
        "legacy-selection.csv": legacy_frame(selections).to_csv(index=False),
        "legacy-selection.json": legacy_file(selections).text(),
    }
    print_written(write_all(folder, texts))
