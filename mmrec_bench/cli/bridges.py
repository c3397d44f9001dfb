"""Commands of list files: those of other systems in and out, and what lists are worth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from mmrec_bench.cli.console import DataDir, errors, out, print_rows
from mmrec_bench.errors import DataError
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.experiments.prepare import Prepared, Preparer
from mmrec_bench.leaderboard.bridges import LIST_FORMATS
from mmrec_bench.leaderboard.bridges.base import write_parquet
from mmrec_bench.leaderboard.bridges.exchange import (
    IdMaps,
    Imported,
    export_lists,
    import_lists,
    read_id_map,
    retrieval_protocol,
)
from mmrec_bench.leaderboard.scoring import COLUMNS, prepared_for, read_lists_of, score_lists
from mmrec_bench.leaderboard.track import Track, load_track
from mmrec_bench.leaderboard.words import PARTS

TrackName = Annotated[str, typer.Option("--track", help="Name of a track, or the path of its YAML.")]
Format = Annotated[str, typer.Option("--format", help="One of those that `leaderboard formats` lists.")]
UserMap = Annotated[
    Path | None, typer.Option("--user-map", help="Two columns: user ids of the files, and those of the data set.")
]
ItemMap = Annotated[
    Path | None, typer.Option("--item-map", help="Two columns: item ids of the files, and those of the data set.")
]
DatasetFirst = Annotated[
    bool,
    typer.Option("--dataset-first", help="The maps' columns are the other way round, as in MMRec's mapping files."),
]
Valid = Annotated[Path | None, typer.Option("--valid", help="The lists of the validation part, too.")]
DIGITS = 4


def formats() -> None:
    """List the formats of list files, and what is read of each."""
    for name in LIST_FORMATS:
        out.print(name, style="bold", highlight=False)
        out.print(f"  {LIST_FORMATS[name].reads}", highlight=False, markup=False)


def import_(
    lists: Annotated[Path, typer.Argument(metavar="FILE", help="The lists of the test part.")],
    format_: Format,
    track: TrackName,
    target: Annotated[Path, typer.Option("--out", help="Parquet to write: the table that is judged.")],
    valid: Valid = None,
    user_map: UserMap = None,
    item_map: ItemMap = None,
    dataset_first: DatasetFirst = False,
    data_dir: DataDir = None,
) -> None:
    """Turn lists of another system into the table that the board judges; all problems of a file are told at once."""
    loaded = load_track(track)
    retrieval_protocol(loaded)
    table = _imported(
        lists, valid, format_, loaded, _prepared(loaded, data_dir), _maps(user_map, item_map, dataset_first)
    )
    write_parquet(target, table)
    out.print(f"lists: {target} ({len(table)} rows)", highlight=False, markup=False)


def export(
    lists: Annotated[
        Path, typer.Argument(metavar="LISTS", help="A run folder, a folder above one run, or a parquet of lists.")
    ],
    format_: Format,
    target: Annotated[Path, typer.Option("--out", help="File to write.")],
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    user_map: UserMap = None,
    item_map: ItemMap = None,
    dataset_first: DatasetFirst = False,
) -> None:
    """Write retrieved lists as a file of another system."""
    if part not in PARTS:
        raise DataError(f"--part is valid or test; got {part}")
    columns = COLUMNS[RetrievalProtocol]
    writer, table = LIST_FORMATS[format_], read_lists_of(lists, columns)
    if lacking := set(columns) - set(table.columns):
        raise DataError(f"{lists}: holds no retrieved lists: column(s) {', '.join(sorted(lacking))} are missing")
    export_lists(target, writer, table, part, _maps(user_map, item_map, dataset_first))
    out.print(f"lists: {target}", highlight=False, markup=False)


def score(
    lists: Annotated[
        Path,
        typer.Argument(
            metavar="LISTS",
            help="A run folder, a folder above one run, a parquet of lists (an entry's lists/seed-0.parquet, too), or "
            "with --format a list file.",
        ),
    ],
    track: TrackName,
    format_: Annotated[str | None, typer.Option("--format", help="Format of the file of another system.")] = None,
    valid: Valid = None,
    user_map: UserMap = None,
    item_map: ItemMap = None,
    dataset_first: DatasetFirst = False,
    data_dir: DataDir = None,
    slices: Annotated[bool, typer.Option("--slices", help="Tell slices of the test part, too.")] = False,
) -> None:
    """Tell what lists are worth, by the evaluator of the track."""
    loaded = load_track(track)
    if format_ is not None:
        retrieval_protocol(loaded)
    prepared = _prepared(loaded, data_dir)
    if format_ is not None:
        table = _imported(lists, valid, format_, loaded, prepared, _maps(user_map, item_map, dataset_first))
    elif valid or user_map or item_map:
        raise DataError("--valid, --user-map and --item-map are for files of other systems; name their --format")
    else:
        table = read_lists_of(lists, COLUMNS[type(loaded.protocol)])
    scores = score_lists(loaded, prepared, table)
    metrics = scores.metrics
    for note in scores.notes:
        errors.print(note, highlight=False, markup=False)
    parts = [part for part in PARTS if part in metrics]
    out.print(f"{loaded.title}, {loaded.protocol.id}", style="bold", highlight=False, markup=False)
    print_rows(
        ("metric", *parts),
        [(name, *(_cell(metrics[part].get(name)) for part in parts)) for name in metrics[parts[-1]]],
    )
    if slices and metrics["test_slices"]:
        names = [name for name in loaded.headline if any(name in values for values in metrics["test_slices"].values())]
        print_rows(
            ("slice of test", "users", *names),
            [
                (name, str(int(values["n_users"])), *(_cell(values.get(metric)) for metric in names))
                for name, values in metrics["test_slices"].items()
            ],
        )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.{DIGITS}f}"


def _prepared(track: Track, data_dir: Path | None) -> Prepared:
    return prepared_for(track.dataset.card, track.protocol, Preparer(data_dir), track.dataset.impressions)


def _maps(users: Path | None, items: Path | None, dataset_first: bool) -> IdMaps:
    read = partial(read_id_map, dataset_first=dataset_first)
    return IdMaps(*(None if path is None else read(path) for path in (users, items)))


def _imported(
    lists: Path, valid: Path | None, format_: str, track: Track, prepared: Prepared, maps: IdMaps
) -> pd.DataFrame:
    """Return the lists of one or both parts, and tell what was left out."""
    reader, found = LIST_FORMATS[format_], list[Imported]()
    for part, path in (("valid", valid), ("test", lists)):
        if path is not None:
            found.append(import_lists(path, reader, track, prepared, part, maps))
    for note in (note for one in found for note in one.notes):
        errors.print(note, highlight=False, markup=False)
    return pd.concat([one.table for one in found], ignore_index=True)
