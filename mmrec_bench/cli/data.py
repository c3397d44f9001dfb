"""Commands that bring data here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mmrec_bench.cli.console import DataDir, command_line, errors, out, print_facts, print_table, print_written
from mmrec_bench.cli.prepare import prepare_data
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.families import load_family
from mmrec_bench.data.fetching.fetch import MIRROR_VARIABLE, fetch, raw_folder
from mmrec_bench.data.preparing.prepare import Means
from mmrec_bench.experiments.environment import available_cores
from mmrec_bench.experiments.features.contents import IMAGES
from mmrec_bench.experiments.features.extracted import features_root
from mmrec_bench.experiments.obtaining import missing_cards, obtain
from mmrec_bench.reports.errors.thumbnails import Thumbnails
from mmrec_bench.reports.inspection.inspect import inspect
from mmrec_bench.reports.inspection.pages import write

app = typer.Typer(help="Fetch and prepare data sets, and look at them.", no_args_is_help=True)
app.command("prepare")(prepare_data)

CardName = Annotated[
    str, typer.Argument(metavar="CARD", help="Name of a data set, such as movielens-100k, or the path of a card.")
]
RawDir = Annotated[
    Path | None, typer.Option("--raw", help="Folder of the raw files; one below the data folder by default.")
]
Mirror = Annotated[
    str | None,
    typer.Option("--mirror", envvar=MIRROR_VARIABLE, help="Address asked first, for <mirror>/<card>/<file>."),
]


@app.command("fetch")
def fetch_files(name: CardName, raw: RawDir = None, data_dir: DataDir = None, mirror: Mirror = None) -> None:
    """Fetch the files of a data set: resumed, checked, and in place only when they are whole."""
    card = load_card(name)
    with DownloadBars.shown() as bars:
        made = fetch(card, raw_folder(card, data_dir) if raw is None else raw, mirror, watch=bars)
    for one in made:
        what = "there" if one.was_there else "fetched"
        out.print(
            f"{what}: {one.path} ({one.record.n_bytes:,} bytes, sha256 {one.record.sha256})",
            highlight=False,
            markup=False,
        )


@app.command("categories")
def list_categories(
    family: Annotated[str, typer.Argument(help="A family of data sets, such as amazon-2023.")],
) -> None:
    """List the data sets of a family."""
    for category in load_family(family).categories:
        out.print(f"{family}:{category}", highlight=False, markup=False)


def obtain_missing(names: Iterable[str], data_dir: Path | None, threads: int | None) -> None:
    """Fetch, and prepare, the data of those cards that is not there and can be fetched."""
    for card in missing_cards(names, data_dir):
        out.print(f"data set '{card.name}' is not there and is fetched", highlight=False, markup=False)
        with DownloadBars.shown() as bars:
            means = Means(threads=threads or available_cores())
            folder = obtain(card, data_dir, os.environ.get(MIRROR_VARIABLE), means, watch=bars, tell=bars.tell)
        out.print(f"data set '{card.name}': {folder}", highlight=False, markup=False)


@app.command("inspect")
def inspect_data(
    name: CardName,
    data_dir: DataDir = None,
    report_dir: Annotated[Path, typer.Option("--report-dir", help="Where reports are written.")] = Path("reports/data"),
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of pictures, named by item ids; those of `features images` by default."),
    ] = None,
) -> None:
    """Report what a data set holds: counts, degrees, time, modalities, texts, and some of its items."""
    card = load_card(name)
    fetched = features_root() / card.name / IMAGES
    if images is None and fetched.is_dir() and importlib.util.find_spec("PIL"):
        images = fetched
    pictures = None if images is None else Thumbnails(images)
    found = inspect(card, data_dir, command_line(), pictures)
    print_table(found.sections[0].tables[0])
    print_facts(fact for _, fact in found.warnings())
    print_written(write(found, report_dir / card.name)[:3])


class DownloadBars:
    """Shows how far each file is (a `Watcher`)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    @classmethod
    @contextmanager
    def shown(cls) -> Iterator[DownloadBars]:
        """Show bars while files are fetched."""
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        with Progress(*columns, TimeRemainingColumn(), console=errors) as progress:
            yield cls(progress)

    def __call__(self, file: str, n_bytes: int, total: int | None, word: str = "") -> None:
        """Move the bar of a file, or say what else happens to it."""
        if word:
            self._progress.console.print(f"{file}: {word}", style="dim", highlight=False, markup=False)
            return
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task(file, total=total)
        self._progress.update(self._tasks[file], completed=n_bytes, total=total)

    def tell(self, word: str) -> None:
        """Say what is done with the files."""
        self._progress.console.print(word, style="dim", highlight=False, markup=False)
