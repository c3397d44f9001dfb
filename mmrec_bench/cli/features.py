"""Commands that make features, and judge them before any recommender is trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmrec_bench.cli.console import (
    DataDir,
    Device,
    Out,
    Overrides,
    Resume,
    ReuseStale,
    Threads,
    command_line,
    out,
    print_table,
    run_settings,
)
from mmrec_bench.cli.extraction import extract_features, extract_for, fetch_images
from mmrec_bench.cli.progress import EpochBar
from mmrec_bench.experiments.features.align import SCORE, align
from mmrec_bench.experiments.features.config import load_features
from mmrec_bench.experiments.features.evaluate import Part, evaluate_features
from mmrec_bench.experiments.features.evaluate_config import load_evaluation
from mmrec_bench.experiments.features.extract_config import load_extraction
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import is_evaluation, is_extraction, is_features
from mmrec_bench.reports.features import FeatureReport
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml

app = typer.Typer(
    help="Make item features, and judge them before any recommender is trained on them.", no_args_is_help=True
)

app.command("extract")(extract_features)
app.command("images")(fetch_images)


@app.command("align")
def align_features(
    config: Annotated[str, typer.Argument(help="A features YAML, such as configs/features/synthetic-ica.yaml.")],
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    out_dir: Out = Path("runs"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    resume: Resume = False,
    reuse_stale: ReuseStale = False,
) -> None:
    """Train an encoder on feature tables, without interactions, and write the vectors it makes of every item."""
    loaded, _ = load_features(config, tuple(overrides))
    settings = run_settings(out_dir, device, threads, resume, reuse_stale)
    preparer = Preparer(data_dir)
    extract_for(loaded.dataset.to_extract, preparer, data_dir, settings.device)
    dataset = preparer.tables(loaded.dataset)
    with _epochs() as bar:
        made = align(loaded, dataset, settings, bar)
    facts = made.manifest
    training, counts = facts["training"], facts["items"]
    out.print(f"features: {made.folder}", highlight=False, markup=False)
    out.print(
        f"{facts['encoder']} of {', '.join(facts['dims'])}: trained on {counts['train']:,} items; loss on "
        f"{counts['valid']:,} others {-training['best_score']:.4f} after epoch {training['best_epoch'] + 1} of "
        f"{training['epochs_run']}; {facts['seconds']['train'] + facts['seconds']['validate']:.0f} s",
        highlight=False,
        markup=False,
    )


@app.command("evaluate")
def evaluate(
    config: Annotated[
        str, typer.Argument(help="An evaluation's YAML, such as configs/features/synthetic-evaluate.yaml.")
    ],
    overrides: Overrides = [],  # noqa: B006
    part: Annotated[Part, typer.Option(help="Part of the split to judge on; test opens the vault.")] = "valid",
    out_dir: Out = Path("runs"),
    report_dir: Annotated[Path, typer.Option(help="Where reports are written.")] = Path("reports/features"),
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    resume: Resume = False,
    reuse_stale: ReuseStale = False,
) -> None:
    """Judge feature sets side by side: zero-shot, as similarities of items, and with modalities masked."""
    loaded, path = load_evaluation(config, tuple(overrides))
    settings = run_settings(out_dir, device, threads, resume, reuse_stale)
    preparer = Preparer(data_dir)
    extract_for(loaded.to_extract, preparer, data_dir, settings.device)
    with _epochs() as bar:
        judged = evaluate_features(loaded, preparer, settings, part, bar)
    report = FeatureReport(path.stem, command_line(), judged)
    print_table(report.table())
    name = path.stem if part == "valid" else f"{path.stem}-{part}"
    for written in report.write(report_dir / name):
        out.print(f"report: {written}", highlight=False, markup=False)


def validated(config: str, overrides: tuple[str, ...]) -> str | None:
    """Return what a valid YAML of this module's commands is, in words; None if it is of another kind.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    document = load_yaml(find_yaml("configs", config))
    if is_extraction(document):
        extracted = load_extraction(config, overrides=overrides)
        return f"{extracted.encoder.name} of {extracted.modality} of {extracted.dataset.card}"
    if is_features(document):
        made, _ = load_features(config, overrides)
        return f"{made.encoder.name} on {made.dataset.card}, seed {made.seed}"
    if is_evaluation(document):
        judged, _ = load_evaluation(config, overrides)
        return f"{len(judged.features)} feature sets on {judged.dataset.card}, {judged.protocol.id}"
    return None


@contextmanager
def _epochs() -> Iterator[EpochBar]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TextColumn("{task.fields[detail]}"), console=out, transient=True
    ) as bar:
        yield EpochBar(bar, bar.add_task("epochs", total=None, visible=False, detail=""), SCORE)
