"""From list files of other systems to the table that a track judges, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError, ProtocolError
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.stations.base import part_column
from mmrec_bench.leaderboard.alignment import told
from mmrec_bench.leaderboard.bridges.base import ListFormat
from mmrec_bench.leaderboard.bridges.rows import NO_RANK, Problems, Rows, lines_of
from mmrec_bench.leaderboard.scoring import HasProtocol, held_out, numbers, whole
from mmrec_bench.leaderboard.words import PARTS
from mmrec_bench.types import BoolArray, IntArray, StringArray

IdMap = Mapping[str, str]
"""From the ids of list files to those of the data set."""


@dataclass(frozen=True, slots=True)
class IdMaps:
    """How a system calls users and items; what is not mapped is called as in the data set.

    Attributes:
        users: Of users, or None.
        items: Of items, or None.
    """

    users: IdMap | None = None
    items: IdMap | None = None

    def inverted(self) -> IdMaps:
        """Return the maps of the other direction.

        Raises:
            DataError: Two ids of the files mean one id of the data set.
        """
        return IdMaps(*(None if one is None else _inverted(one) for one in (self.users, self.items)))


@dataclass(slots=True)
class Imported:
    """Lists as a track judges them.

    Attributes:
        table: Columns ``part``, ``user_id``, ``rank``, ``item_id`` and ``score``.
        notes: What was left out, one sentence each.
    """

    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def read_id_map(path: Path, *, dataset_first: bool = False) -> IdMap:
    """Read a map of ids: lines of two columns between tabs or commas, the id in list files and that in the data set.

    A header does no harm, for nobody is called by it.

    Args:
        path: The file.
        dataset_first: Whether the columns are the other way round, as in the files that MMRec keeps beside its data.

    Raises:
        DataError: Lines of other columns, or an id with two meanings.
    """
    found, problems = dict[str, str](), Problems(path)
    for number, line in lines_of(path):
        cells = [cell.strip() for cell in line.split("\t" if "\t" in line else ",")]
        cells = cells[::-1] if dataset_first else cells
        if len(cells) != 2 or not all(cells):
            problems.add(number, f"a map has two columns between tabs or commas; got {len(cells)}, or an empty one")
        elif found.setdefault(cells[0], cells[1]) != cells[1]:
            problems.add(number, f"{cells[0][:40]!r} is mapped to {found[cells[0]][:40]!r} already")
    problems.refuse()
    return found


def import_lists(
    path: Path, format_: ListFormat, track: HasProtocol, prepared: Prepared, part: str = "test", maps: IdMaps = IdMaps()
) -> Imported:
    """Read the lists of a part, check every row, and bring them into the order by which they are judged.

    Lists are ordered by their scores, kept as float32; equal scores by the track's hash of item ids, as everywhere.
    Without scores the order is that of the file, and the score is the rank, negated.

    Args:
        path: The file.
        format_: Its format.
        track: Whose protocol says which users are judged, and which items excluded.
        prepared: Data and split.
        part: ``valid`` or ``test``.
        maps: Ids of the file.

    Raises:
        DataError: With all problems of the file, each with its line.
        ProtocolError: The track is of another task.
    """
    protocol = retrieval_protocol(track)
    rows, dataset = format_.read(path), prepared.dataset
    problems = rows.problems
    users = _known(rows, rows.users, maps.users, dataset.user_ids, "user")
    items = _known(rows, rows.items, maps.items, dataset.item_ids, "item")
    truth, known = held_out(prepared, part), [prepared.split.train]
    if part == "test" and "valid" in protocol.exclude:
        known.append(prepared.split.valid)
    usable = (users >= 0) & (items >= 0)
    _refuse_repeats(rows, users, items, usable)
    expected = np.unique(truth.users)
    judged = usable & np.isin(users, expected)
    _refuse_known(rows, users, items, judged, known)
    order = _order(rows, users, items, judged, prepared.ties, format_)
    if len(missing := np.setdiff1d(expected, users)):
        names = told(dataset.user_ids[missing])
        problems.add(None, f"{len(missing)} of {len(expected)} users of the {part} part have no list: {names}")
    problems.refuse()
    notes = []
    if n := len(np.setdiff1d(users, expected)):
        notes.append(f"{part}: left out lists of {n} user(s) with nothing held out")
    return _cut(rows, users[order], items[order], order, prepared, part, protocol.cutoffs[-1], notes)


def export_lists(path: Path, format_: ListFormat, table: pd.DataFrame, part: str, maps: IdMaps = IdMaps()) -> None:
    """Write the lists of a part in a format.

    Args:
        path: The file.
        format_: Its format.
        table: Columns of `Imported.table`.
        part: ``valid`` or ``test``.
        maps: As for `import_lists`: from ids of the file to those of the data set.

    Raises:
        DataError: There are no lists of the part, ids are missing, ranks or scores are no numbers, a user has several
            lists, or the maps or the format do not hold an id.
    """
    rows = table[(table["part"] == part).to_numpy()]
    if not len(rows):
        raise DataError(
            f"there are no lists of the {part} part; parts are {told(sorted(set(table['part'].astype(str))))}"
        )
    for column in ("user_id", "item_id"):
        if n := int(rows[column].isna().sum()):
            raise DataError(f"{n} row(s) of the {part} part have no {column}")
    whole(rows, "rank")  # refuses what is none, as the next line does
    numbers(rows, "score")
    if (again := rows.duplicated(["user_id", "rank"]).to_numpy()).any():
        users = rows["user_id"][again].astype(str).unique().tolist()
        raise DataError(
            f"users have several rows of one rank in the {part} part, and a list file holds one list a user: "
            f"{told(users)}. Lists of ranking runs, of which a user may have several, have no such file"
        )
    rows = rows.sort_values(["user_id", "rank"], kind="stable")
    names = {}
    for column, ids in (("user_id", maps.inverted().users), ("item_id", maps.inverted().items)):
        texts = rows[column].astype(str)
        names[column] = texts if ids is None else texts.map(ids)
        if names[column].isna().any():
            raise DataError(f"the map of ids lacks {told(texts[names[column].isna()].unique().tolist())}")
    format_.write(path, rows.assign(**names))


def retrieval_protocol(track: HasProtocol) -> RetrievalProtocol:
    """Return the protocol of a retrieval track.

    Raises:
        ProtocolError: It is of another task.
    """
    if not isinstance(track.protocol, RetrievalProtocol):
        raise ProtocolError(
            f"list files of other systems are read for the retrieval task; this track has {track.protocol.id}"
        )
    return track.protocol


def _known(rows: Rows, names: list[str], ids: IdMap | None, known: StringArray, what: str) -> IntArray:
    """Return the row number of each id, -1 for those that are none, which are noted as problems."""
    place_of = {str(name): place for place, name in enumerate(known)}
    found = np.empty(len(names), np.int64)
    strange: dict[str, list[int]] = {}  # told once each: an id may stand in every row
    for place, name in enumerate(names):
        meant = name if ids is None else ids.get(name)
        found[place] = -1 if meant is None else place_of.get(meant, -1)
        if found[place] < 0:
            strange.setdefault(name, []).append(place)
    for name, places in strange.items():
        meant = name if ids is None else ids.get(name)
        if meant is None:
            why = f"{what} {name[:40]!r} is not in the map of {what} ids"
        else:
            way = f"; where files have ids of their own, give --{what}-map" if ids is None else ""
            why = f"{what} {meant[:40]!r} is none of the data set{way}"
        again = f", and in {len(places) - 1:,} more row(s)" if len(places) > 1 else ""
        rows.problems.add(rows.places[places[0]], why + again)
    return found


def _refuse_repeats(rows: Rows, users: IntArray, items: IntArray, usable: BoolArray) -> None:
    at = np.flatnonzero(usable)
    at = at[np.lexsort((at, items[at], users[at]))]
    same = (users[at][1:] == users[at][:-1]) & (items[at][1:] == items[at][:-1])
    for first, again in zip(at[:-1][same], at[1:][same], strict=True):
        told_first = f"stands at {rows.problems.unit} {rows.places[first]} already"
        rows.problems.add(rows.places[again], f"item {rows.items[again]!r} of user {rows.users[again]!r} {told_first}")


def _refuse_known(rows: Rows, users: IntArray, items: IntArray, judged: BoolArray, known: list[Interactions]) -> None:
    barred = np.concatenate([part.keys() for part in known])
    for place in np.flatnonzero(judged & np.isin(users * np.int64(known[0].n_items) + items, barred)):
        rows.problems.add(
            rows.places[place],
            f"user {rows.users[place]!r} has item {rows.items[place]!r} in a part that the track excludes; mask it",
        )


def _order(
    rows: Rows, users: IntArray, items: IntArray, judged: BoolArray, ties: IntArray, format_: ListFormat
) -> IntArray:
    """Return the rows that are judged, list after list from the top."""
    at = np.flatnonzero(judged)
    ranks = np.array(rows.ranks, np.int64)
    with np.errstate(over="ignore"):
        scores = np.array(rows.scores, np.float64).astype(np.float32)
    for place in np.flatnonzero(np.isinf(scores)):
        rows.problems.add(rows.places[place], f"score {rows.scores[place]} is too large for float32")
    scored = not np.isnan(scores).any()
    by_rank = at[np.lexsort((ranks[at], users[at]))]
    within = users[by_rank][1:] == users[by_rank][:-1]
    if not scored:
        for place in by_rank[1:][within & (ranks[by_rank][1:] == ranks[by_rank][:-1])]:
            rows.problems.add(rows.places[place], f"user {rows.users[place]!r} has two items of rank {ranks[place]}")
        return by_rank
    if format_.follows_rank and (ranks[at] != NO_RANK).all():
        for place in by_rank[1:][within & (scores[by_rank][1:] > scores[by_rank][:-1])]:
            message = (
                f"rank {ranks[place]} has a higher score than the rank above it; leave out the column score or rank"
            )
            rows.problems.add(rows.places[place], message)
    return at[np.lexsort((ties[items[at]], -scores[at], users[at]))]


def _cut(
    rows: Rows, users: IntArray, items: IntArray, order: IntArray, prepared: Prepared, part: str, depth: int,
    notes: list[str],
) -> Imported:  # fmt: skip
    """Return the table of ordered lists, at most `depth` long."""
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    lengths = np.diff(np.r_[starts, len(users)])
    ranks = np.arange(len(users)) - np.repeat(starts, lengths) + 1
    if n := int((lengths > depth).sum()):
        notes.append(f"{part}: cut {n} list(s) to the {depth} items that the track judges")
    if n := int((lengths < depth).sum()):
        notes.append(f"{part}: {n} list(s) hold fewer than the {depth} items that the track judges")
    scores = np.array(rows.scores, np.float64)[order].astype(np.float32)
    kept = ranks <= depth
    columns = {
        "part": part_column(part, PARTS, int(kept.sum())),
        "user_id": pd.Categorical.from_codes(users[kept], pd.Index(prepared.dataset.user_ids)),
        "rank": ranks[kept].astype(np.int32),
        "item_id": pd.Categorical.from_codes(items[kept], pd.Index(prepared.dataset.item_ids)),
        "score": np.where(np.isnan(scores), -ranks, scores)[kept].astype(np.float32),
    }
    return Imported(pd.DataFrame(columns), notes)


def _inverted(ids: IdMap) -> IdMap:
    found: dict[str, str] = {}
    for name, meant in ids.items():
        if (other := found.setdefault(meant, name)) != name:
            raise DataError(f"the map of ids calls {meant!r} both {other!r} and {name!r}; lists need one of them")
    return found
