"""Formats with a list for each user, and no scores: MMRec, Cornac."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pandas as pd

from mmrec_bench.errors import DataError
from mmrec_bench.leaderboard.bridges.base import ListFormat, cells_of, refuse_ids, write_lines
from mmrec_bench.leaderboard.bridges.rows import Problems, Rows, lines_of
from mmrec_bench.leaderboard.documents import why_no_json


class MMRec(ListFormat):
    """What MMRec writes with ``save_recommended_topk: True`` (https://github.com/enoche/MMRec)."""

    name = "mmrec"
    reads = (
        "Columns between tabs under the header id, top_0, top_1, ...: a line a user, then its items from the best on, "
        "all as the whole numbers (userID, itemID) of the interaction file. There are no scores: the order is that of "
        "the columns."
    )

    def read(self, path: Path) -> Rows:
        """Read a file of recommendations."""
        rows, width = Rows(Problems(path)), 0
        for number, line in lines_of(path):
            cells = [cell.strip() for cell in line.split("\t")]
            if not width:
                width = len(cells)
                if width < 2 or cells != _header(width - 1):
                    header = "the header must be id, top_0, top_1, ... between tabs"
                    raise DataError(f"{path}: line {number}: {header}; got {line[:60]!r}")
            elif len(cells) != width:
                rows.problems.add(number, f"the header has {width} columns; got {len(cells)}")
            elif strange := [cell for cell in cells if not _is_number(cell)]:
                rows.problems.add(number, f"ids are whole numbers; got {strange[0][:40]!r}")
            else:
                for rank, item in enumerate(cells[1:], start=1):
                    rows.add(number, cells[0], item, rank=rank)
        return rows

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write a file of recommendations."""
        refuse_ids(path, table, lambda text: not _is_number(text), "only digits")
        lists = _lists(table)
        if len(lengths := {len(items) for items in lists.values()}) != 1:
            raise DataError(f"{path}: all lists of such a file have one length; got {sorted(lengths)[:5]}")
        lines = ("\t".join((user, *items)) for user, items in lists.items())
        write_lines(path, ("\t".join(_header(lengths.pop())), *lines))


class Cornac(ListFormat):
    """What ``recommend`` of a Cornac model returns, user by user (https://cornac.readthedocs.io)."""

    name = "cornac"
    reads = (
        "A JSON object: by user id, the list of item ids that model.recommend(user_id, k) returns, the best first. "
        "Cornac itself writes no lists. There are no scores: the order is that of the lists. Problems are numbered by "
        "user, from 1."
    )

    def read(self, path: Path) -> Rows:
        """Read an object of lists."""
        try:
            told = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=tuple)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: is no JSON: {why_no_json(error)}") from None
        if not isinstance(told, tuple):
            raise DataError(f"{path}: must hold a JSON object, a list of item ids by user id; got {str(told)[:60]}")
        rows, seen = Rows(Problems(path, "user")), set[str]()
        for place, (user, items) in enumerate(told, start=1):
            if user in seen:
                rows.problems.add(place, f"{user[:40]!r} has two lists")
            elif not isinstance(items, list) or not all(type(item) in (str, int) for item in items):
                rows.problems.add(place, f"the list of {user[:40]!r} must hold item ids, texts or whole numbers")
            else:
                for rank, item in enumerate(items, start=1):
                    rows.add(place, user, str(item), rank=rank)
            seen.add(user)
        return rows

    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write an object of lists."""
        write_lines(path, [json.dumps(_lists(table), ensure_ascii=False)])


def _header(depth: int) -> list[str]:
    return ["id", *(f"top_{place}" for place in range(depth))]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _lists(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the items of each user from the top."""
    grouped = groupby(cells_of(table), key=lambda cell: cell[0])
    return {user: [item for _, item, _, _ in cells] for user, cells in grouped}
