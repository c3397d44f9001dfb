"""Logs of lists that were shown, one row an item of a list, as delimited text or Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import model_validator

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.formats.base import FORMATS, FileName, PayloadKind
from mmrec_bench.data.formats.external import natural_order, rows_of
from mmrec_bench.data.formats.log_columns import LogColumn, LogTable, read_catalogue
from mmrec_bench.data.formats.times import TimestampUnit
from mmrec_bench.data.formats.vectors import VectorFilesCard, read_tables
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray


class ClickLogCard(VectorFilesCard):
    """A card of a log in which each row is one item of one list.

    Columns, of which ``list``, ``item``, and one of ``click`` and ``label`` must be there:

    - ``list``: id of the list, shown once to one user. Its rows need not be adjacent.
    - ``item``: id of the item; none stands in a list twice.
    - ``user``: id of the user, or query, the list is for. Without it each list is for a user of its own.
    - ``position``: place at which the row was shown, 1 = top; no two rows of a list share one, but gaps are allowed.
      Rows are put in this order; without it they keep that of the file. Clicks need it.
    - ``click``: 0 or 1, or false or true.
    - ``label``: graded relevance, a whole number from 0 to 31.
    - ``timestamp``: when the list was shown.
    - ``propensity``: probability that the row was observed, above 0 and at most 1, where the log tells it.
    - ``part``: part of the delivered split: train, valid or test (or 0, 1, 2).

    All rows of a list agree in ``user``, ``timestamp`` and ``part``. Lists stand in the order of their first rows;
    those of one row, or without a click, are kept. Users and items are numbered in the natural order of their ids, or
    items as `items` lists them.
    """

    format: Literal["click-log"] = "click-log"
    log: FileName
    """The rows: Parquet, or text with a header line, separated by tabs or commas, gzip or not."""
    columns: Mapping[LogColumn, str] = {}
    """What a column is called in the file where that is not its name above; it must then be there."""
    feature_columns: tuple[str, ...] = ()
    """Columns of numbers that describe the row, in this order."""
    timestamp_unit: TimestampUnit = "s"
    """Unit of times that are numbers, since 1970."""
    items: FileName | None = None
    """File with the column ``item`` that lists the whole catalogue; by default there are the items of the log alone."""

    @model_validator(mode="after")
    def _vectors_have_items(self) -> Self:
        if self.features and self.items is None:
            raise explained_error("features: row r of a vector file is of the r-th item of a file; add 'items'")
        if len(set(self.feature_columns)) != len(self.feature_columns):
            raise explained_error("feature_columns: names a column twice")
        for role in get_args(LogColumn):
            if (name := self.columns.get(role, role)) in self.feature_columns:
                raise explained_error(
                    f"feature_columns: {name!r} is the column of the {role}, which a log holds for itself"
                    + ("; rankers would read what they are to find" if role in ("label", "click") else "")
                    + ". Remove it, or write it as a column of another name"
                )
        return self

    @property
    def fields(self) -> Mapping[str, str]:
        """Feature tables and columns of rows; see `DatasetCard.fields`."""
        return {**self.features, **{column: column for column in self.feature_columns}}

    @property
    def payloads(self) -> tuple[PayloadKind, ...]:
        """Lists alone."""
        return ("lists",)

    @property
    def main_file(self) -> str:
        """The log."""
        return self.log

    def read_lists(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Lists]:
        """Read the files; see `DatasetCard.read_lists`."""
        chosen = self.chosen(modalities)
        log = LogTable(folder / self.log, self.columns, self.feature_columns, self.timestamp_unit)
        listed = None if self.items is None else read_catalogue(folder / self.items, self.columns.get("item", "item"))
        encoded = log.ids("list").dictionary_encode()
        list_of = encoded.indices.to_numpy().astype(np.int64)
        items, item_ids = log.rows("item", listed)
        if log.has("user"):
            users, user_ids = log.rows("user")
        else:
            user_ids = natural_order(encoded.dictionary)
            users = rows_of(encoded.dictionary, user_ids)[list_of]
        firsts = np.unique(list_of, return_index=True)[1]
        of_lists: dict[LogColumn, Any] = {"user": users, "timestamp": log.times(), "part": log.parts()}
        by_list = {name: _agreed(log, name, list_of, firsts, values) for name, values in of_lists.items()}
        positions = log.positions()
        of_rows: dict[str, Any] = {
            "positions": positions,
            "clicks": log.clicks(),
            "labels": log.labels(),
            "propensities": log.propensities(),
            "features": log.features(),
        }
        _once(log, "item", list_of, items)
        if positions is not None:
            _once(log, "position", list_of, positions)
        order = np.lexsort((list_of,) if positions is None else (positions, list_of))
        payload = Lists(
            list_of=list_of[order],
            items=items[order],
            n_items=len(item_ids),
            users=by_list["user"],
            n_users=len(user_ids),
            timestamps=by_list["timestamp"],
            parts=by_list["part"],
            **{name: None if values is None else values[order] for name, values in of_rows.items()},
        )
        tables, found = read_tables({name: folder / self.features[name] for name in chosen}, len(item_ids))
        missing = {modality: table.n_missing for modality, table in tables.items()}
        report = DataReport(missing=missing, notes=(*log.notes(), *found))
        return Dataset(self.name, payload, tables, ItemTable(), user_ids, item_ids, report)


FORMATS.register("click-log", ClickLogCard)


def _once(log: LogTable, name: LogColumn, list_of: IntArray, values: IntArray) -> None:
    """Refuse a value that comes again in a list, and show the row where it does."""
    order = np.lexsort((values, list_of))  # stable, so the later row is the one that repeats
    repeated = np.zeros(len(values), np.bool_)
    repeated[order[1:]] = (np.diff(list_of[order]) == 0) & (np.diff(values[order]) == 0)
    if repeated.any():
        raise log.error(name, repeated, f"which is in the same list already; a list has each {name} once")


def _agreed(log: LogTable, name: LogColumn, list_of: IntArray, firsts: IntArray, values: Any) -> Any:
    """Return the value of each list, on which all of its rows agree."""
    if values is None:
        return None
    if (differs := values != values[firsts][list_of]).any():
        raise log.error(
            name, differs, f"which is not that of the list's first row; all rows of a list share one {name}"
        )
    return values[firsts]
