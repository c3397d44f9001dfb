"""Commands that make features of texts and pictures of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mmrec_bench.cli.console import DataDir, Device, Overrides, Threads, errors, out, run_settings
from mmrec_bench.data.fetching.pictures import Manners, fetch_pictures
from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.features.contents import IMAGES, wanted_pictures
from mmrec_bench.experiments.features.extract import extract
from mmrec_bench.experiments.features.extract_config import ExtractConfig, load_extraction
from mmrec_bench.experiments.features.extracted import ExtractedFeatures, features_root
from mmrec_bench.experiments.features.tables import extract_missing
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.extraction.base import Modality

FeaturesDir = Annotated[
    Path | None,
    typer.Option(
        "--features-dir",
        envvar="MMREC_BENCH_FEATURES",
        help="Root of extracted features; ./features by default. Experiments look where the variable says.",
    ),
]


def extract_features(
    config: Annotated[
        str,
        typer.Argument(
            help="A data set, or the YAML of an extraction, such as configs/features/amazon-scientific-text.yaml."
        ),
    ],
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Name of an encoder, or a mapping: '{name: tfidf-svd, dim: 128}'.")
    ] = None,
    modality: Annotated[Modality | None, typer.Option("--modality", help="What is encoded; text by default.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    features_dir: FeaturesDir = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make a feature table of the texts or pictures of items; a killed extraction goes on where it was."""
    loaded = load_extraction(config, modality, encoder, tuple(overrides))
    settings = run_settings(Path(), device, threads, resume=True)
    dataset = Preparer(data_dir).items(loaded.dataset.card)
    with items_bar() as bar:
        made = extract(
            loaded, dataset, data_dir, features_dir or features_root(), settings.device, bar(described(loaded))
        )
    tell(made)


def fetch_images(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a data set, or the path of a card.")],
    features_dir: FeaturesDir = None,
    data_dir: DataDir = None,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Questions a second to one host.")] = 5.0,
    per_host: Annotated[int, typer.Option("--per-host", min=1, help="Connections to one host at a time.")] = 2,
    contact: Annotated[
        str, typer.Option("--contact", help="Your address or page, told to the servers with the name of this program.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Ask again for what was refused for good.")] = False,
) -> None:
    """Fetch the pictures of items, politely; what is there is not asked for again."""
    loaded = Preparer(data_dir).items(dataset)
    folder = (features_dir or features_root()) / loaded.name / IMAGES
    manners = Manners(per_host=per_host, rate=rate, contact=contact)
    with items_bar() as bar:
        try:
            found = fetch_pictures(
                wanted_pictures(loaded), folder, manners, bar(f"pictures of {loaded.name}"), again=again
            )
        except OSError as error:
            raise ResourceError(
                f"{folder}: cannot be written: {error.strerror or error}. What came is kept; make room, or name "
                "another folder with --features-dir, and run the command again"
            ) from None
    out.print(f"pictures: {folder}", highlight=False, markup=False)
    lacking = "; ".join(f"{reason}: {n:,}" for reason, n in found.reasons().most_common(10)) or "none"
    out.print(
        f"{found.n_there:,} were there, {found.n_fetched:,} fetched; {len(found.failed):,} failed ({lacking})",
        highlight=False,
        markup=False,
    )


def extract_for(
    sources: Sequence[ExtractConfig], preparer: Preparer, data_dir: Path | None, device: torch.device
) -> None:
    """Extract what YAMLs name under ``dataset.features`` and is not there yet.

    What cannot be extracted is told; whatever needs it is then refused as if other data were missing.
    """
    if not sources:
        return  # a bar of nothing is a line all the same
    with items_bar() as bar:
        failed = extract_missing(sources, preparer.items, data_dir, device, lambda one: bar(described(one)))
    for error in failed:
        errors.print(f"not extracted: {error}", style="red", highlight=False, markup=False)


def described(config: ExtractConfig) -> str:
    """Return what is extracted, for the bar."""
    return f"{config.encoder.name} of {config.dataset.card}"


def tell(made: ExtractedFeatures) -> None:
    """Print what was made."""
    facts = made.manifest
    items, missing = facts["items"], facts["missing"]
    out.print(f"features: {made.folder}", highlight=False, markup=False)
    lacking = "; ".join(f"{reason}: {n:,}" for reason, n in missing.items()) or "none"
    told = "; ".join(f"{what}: {n:,}" for what, n in facts["counts"].items())
    out.print(
        f"{facts['encoder']['name']}: {items['catalogue'] - items['missing']:,} of {items['catalogue']:,} items have a "
        f"vector of {facts['dim']} ({facts['dtype']}); missing: {lacking}{told and f'; {told}'}",
        highlight=False,
        markup=False,
    )


@contextmanager
def items_bar() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Lend a bar that shows how many items of an extraction are done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as progress:

        def of(what: str) -> Callable[[int, int], None]:
            task = progress.add_task(what, total=None, visible=False)

            def show(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total, visible=True)

            return show

        yield of
