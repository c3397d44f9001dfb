"""Formats with a row for each user and item: TREC, RecBole, Elliot, LensKit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow

from mmrec_bench.errors import DataError
from mmrec_bench.leaderboard.bridges.base import (
    ListFormat,
    breaks_columns,
    cells_of,
    refuse_ids,
    roles,
    write_lines,
    write_parquet,
)
from mmrec_bench.leaderboard.bridges.rows import Problems, Rows, lines_of

NO_TAB = "no tab, no line break and no blank at their ends"


class Trec(ListFormat):
    """Run files of trec_eval (https://github.com/usnistgov/trec_eval)."""

    name = "trec"
    reads = (
        "Six columns between blanks, no header: user, Q0, item, rank, score, tag. Ordered by score; as in trec_eval, "
        "the rank (from 0 or 1) is not looked at, nor are Q0 and tag."
    )

    def read(self, path: Path) -> Rows:
        """Read a run file."""
        rows = Rows(Problems(path))
        for number, line in lines_of(path):
            cells = line.split()
            if len(cells) == 6:
                rows.add(number, cells[0], cells[2], cells[4])
            else:
                rows.problems.add(number, f"a run has 6 columns, user Q0 item rank score tag; got {len(cells)}")
        return rows

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write a run file with ranks from 1 and the tag mmrec-bench."""
        refuse_ids(path, table, lambda text: len(text.split()) != 1 or text != text.strip(), "no blank")
        write_lines(path, (f"{u} Q0 {i} {rank} {score} mmrec-bench" for u, i, rank, score in cells_of(table)))


class RecBole(ListFormat):
    """Atomic files of RecBole (https://recbole.io/docs/user_guide/data/atomic_files.html)."""

    name = "recbole"
    reads = (
        "An atomic file: columns between tabs, under a header of name:type that holds user_id:token, item_id:token and "
        "score:float in any order; other columns are not looked at. RecBole itself writes no lists: these are what "
        "full_sort_topk returns, its ids made tokens by dataset.id2token. Ordered by score."
    )
    _known: ClassVar[Mapping[str, str]] = {"user_id:token": "user", "item_id:token": "item", "score:float": "score"}

    def read(self, path: Path) -> Rows:
        """Read an atomic file."""
        rows, places, width = Rows(Problems(path)), None, 0
        for number, line in lines_of(path):
            cells = line.split("\t")
            if places is None:
                names, width = [cell.strip() for cell in cells], len(cells)
                places = roles(path, names, self._known, ("user", "item", "score"))
            elif len(cells) == width:
                rows.add(number, *(cells[places[role]] for role in ("user", "item", "score")))
            else:
                rows.problems.add(number, f"the header has {width} columns; got {len(cells)}")
        return rows

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write an atomic file."""
        refuse_ids(path, table, breaks_columns, NO_TAB)
        lines = (f"{user}\t{item}\t{score}" for user, item, _, score in cells_of(table))
        write_lines(path, ("\t".join(self._known), *lines))


class Elliot(ListFormat):
    """What Elliot writes with ``save_recs: True`` (https://elliot.readthedocs.io)."""

    name = "elliot"
    reads = "Three columns between tabs, no header: user, item, score, ids as in the data. Ordered by score."

    def read(self, path: Path) -> Rows:
        """Read a file of recommendations."""
        rows = Rows(Problems(path))
        for number, line in lines_of(path):
            cells = line.split("\t")
            if len(cells) == 3:
                rows.add(number, *cells)
            else:
                rows.problems.add(number, f"a line has user, item and score between tabs; got {len(cells)} column(s)")
        return rows

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write a file of recommendations."""
        refuse_ids(path, table, breaks_columns, NO_TAB)
        write_lines(path, (f"{user}\t{item}\t{score}" for user, item, _, score in cells_of(table)))


class LensKit(ListFormat):
    """Recommendations of LensKit (https://lkpy.lenskit.org)."""

    name = "lenskit"
    reads = (
        "A CSV with a header, or parquet where the file ends in .parquet: the columns user_id, item_id, score and rank "
        "(LensKit 2025: ItemListCollection.to_df, or save_parquet with layout='flat'), or user, item, score and rank "
        "(before); others are not looked at, and one of score and rank may be missing. rank counts from 1. Ordered by "
        "score, which must not contradict the rank; by rank where there is no score."
    )
    follows_rank = True
    _known: ClassVar[Mapping[str, str]] = {
        "user_id": "user", "user": "user", "item_id": "item", "item": "item", "score": "score", "rank": "rank",
    }  # fmt: skip

    def read(self, path: Path) -> Rows:
        """Read recommendations."""
        return self._read_parquet(path) if path.suffix == ".parquet" else self._read_csv(path)

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write recommendations in the columns of LensKit 2025."""
        columns = ["user_id", "item_id", "score", "rank"]
        if path.suffix == ".parquet":
            write_parquet(path, table[columns].astype({"user_id": str, "item_id": str}))
            return
        refuse_ids(path, table, lambda text: "\n" in text or "\r" in text, "no line break")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows((user, item, score, rank) for user, item, rank, score in cells_of(table))
        write_lines(path, text.getvalue().split("\n")[:-1])  # ids may hold what splitlines takes for an end

    def _read_csv(self, path: Path) -> Rows:
        rows, places, width = Rows(Problems(path)), None, 0
        for number, line in lines_of(path):
            try:
                cells = next(csv.reader([line]))
            except csv.Error as error:
                raise DataError(f"{path}: line {number}: is no row of a CSV: {error}") from None
            if places is None:
                names, width = [cell.strip() for cell in cells], len(cells)
                places = self._places(path, names)
            elif len(cells) == width:
                self._add(rows, number, places, cells)
            else:
                rows.problems.add(number, f"the header has {width} columns; got {len(cells)}")
        return rows

    def _read_parquet(self, path: Path) -> Rows:
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise DataError(f"{path}: cannot be read: {str(error)[:200]}") from None
        rows, places = Rows(Problems(path, "row")), self._places(path, [str(name) for name in table.columns])
        for number, cells in enumerate(table.itertuples(index=False, name=None), start=1):
            self._add(rows, number, places, ["" if cell is None else str(cell) for cell in cells])
        return rows

    def _places(self, path: Path, names: list[str]) -> dict[str, int]:
        places = roles(path, names, self._known, ("user", "item"))
        if not {"score", "rank"} & set(places):
            raise DataError(f"{path}: the header has neither score nor rank, so nothing tells the order")
        return places

    def _add(self, rows: Rows, number: int, places: dict[str, int], cells: list[str]) -> None:
        told = {role: cells[place] for role, place in places.items()}
        rows.add(number, told["user"], told["item"], told.get("score"), told.get("rank"))
