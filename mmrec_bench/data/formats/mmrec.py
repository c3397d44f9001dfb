"""The MMRec layout: `.inter` with row numbers and split labels, and one ``.npy`` matrix a modality.

Source: the data folders of MMRec (Zhou, "MMRec: Simplifying Multimodal Recommendation", MM Asia 2023 workshops,
https://github.com/enoche/MMRec).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.formats.base import FORMATS, FileName
from mmrec_bench.data.formats.pairs import RawPairs
from mmrec_bench.data.formats.tables import Separator, TextTable, read_table, shown
from mmrec_bench.data.formats.times import TimestampUnit, seconds
from mmrec_bench.data.formats.vectors import VectorFilesCard, read_tables
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import DataError
from mmrec_bench.types import IntArray, StringArray


class MMRecCard(VectorFilesCard):
    """A card of files in the MMRec layout.

    The interactions have the columns ``userID`` and ``itemID`` (row numbers from 0 without gaps), and optionally
    ``x_label`` (0 train, 1 valid, 2 test), ``rating`` and ``timestamp``.
    """

    format: Literal["mmrec"] = "mmrec"
    interactions: FileName
    """File of the interactions."""
    separator: Separator = "\t"
    """Between the columns of the interactions."""
    timestamp_unit: TimestampUnit = "s"
    """Unit of the column ``timestamp`` since 1970."""
    item_ids: FileName | None = None
    """File with the columns ``itemID`` and external id; lists the whole catalogue."""
    user_ids: FileName | None = None
    """File with the columns ``userID`` and external id; lists all users."""
    images: FileName | None = None
    """File with the columns ``itemID`` and ``imUrl``."""
    allow_missing_files: bool = False
    """Whether files other than the interactions may be absent, which is then noted; published sets are often copied
    in part."""

    @property
    def main_file(self) -> str:
        """The interactions."""
        return self.interactions

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        notes: list[str] = []
        numbered = "row numbers stand for external ids"

        def there(key: str, name: str | None, without: str, *, asked: bool = False) -> Path | None:
            if name is None:
                return None
            if self.allow_missing_files and not asked and not (folder / name).exists():
                notes.append(f"{key}: {name} is not there; {without}")
                return None
            return folder / name

        table = read_table(
            folder / self.interactions, self.separator, ("userID", "itemID"), ("x_label", "rating", "timestamp")
        )
        items, item_ids = _ids(table, "itemID", there("item_ids", self.item_ids, numbered), "item_ids", notes)
        users, user_ids = _ids(table, "userID", there("user_ids", self.user_ids, numbered), "user_ids", notes)
        images = there("images", self.images, "items have no image URL")
        columns = table.columns
        raw = RawPairs(
            users,
            items,
            len(user_ids),
            len(item_ids),
            values=table.numbers("rating", "ratings") if "rating" in columns else None,
            timestamps=seconds(table, "timestamp", self.timestamp_unit) if "timestamp" in columns else None,
            labels=table.integers("x_label", "labels (0 train, 1 valid, 2 test)", 3).astype(np.int8)
            if "x_label" in columns
            else None,
        )
        interactions, n_duplicates, n_across = raw.merged()
        asked = modalities is not None
        files = {
            name: path
            for name in chosen
            if (path := there(name, self.features[name], "models run without it", asked=asked))
        }
        features, found = read_tables(files, len(item_ids))
        missing = {name: table.n_missing for name, table in features.items()}
        report = DataReport(n_duplicates, n_across, missing, notes=(*notes, *found))
        table_of_items = ItemTable(images=None if images is None else _images(images, len(item_ids)))
        return Dataset(self.name, interactions, features, table_of_items, user_ids, item_ids, report)


FORMATS.register("mmrec", MMRecCard)


def _ids(
    table: TextTable, column: str, mapping: Path | None, key: str, notes: list[str]
) -> tuple[IntArray, StringArray]:
    """Return the row numbers of a column and the external ids of all rows.

    Without a mapping file the row numbers must have no gaps, or the catalogue would be a guess.
    """
    external = None if mapping is None else _mapping(mapping, column)
    meaning = "row numbers" if mapping is None else f"row numbers listed in {mapping.name}"
    rows = table.integers(column, meaning, None if external is None else len(external))
    found = np.unique(rows)
    if external is None:
        if found[-1] >= len(found):
            gap = int(np.flatnonzero(found != np.arange(len(found)))[0])
            raise DataError(
                f"{table.path}: row numbers in column '{column}' must run from 0 without gaps; {gap} is missing, the "
                f"largest is {found[-1]}, there are {len(found)} distinct ones. Number them anew, or list all of them "
                f"with their external ids in a file under '{key}' of the card"
            )
        external = found.astype(np.str_)
    elif unused := len(external) - len(found):
        notes.append(f"{unused} of {len(external)} rows of {mapping.name if mapping else key} have no interaction")
    return rows, external


def _mapping(path: Path, column: str) -> StringArray:
    """Return external ids in the order of their row numbers."""
    table = read_table(path, None, (column,), None)
    others = [name for name in table.columns if name != column]
    preferred = [name for name in others if len(others) == 1 or name in ("asin", "user_id")]
    if not preferred:
        names = ", ".join(shown(name) for name in table.columns)
        raise DataError(f"{path}: needs two columns, '{column}' and the external id; found: {names}")
    rows = table.integers(column, "row numbers", table.n_rows)
    _unique(table, column, rows)
    external = np.empty_like(texts := table.texts(preferred[0]))
    external[rows] = texts
    if (blank := texts == "").any():
        raise table.error(preferred[0], blank, "external ids must not be empty")
    order = np.argsort(texts, kind="stable")
    repeated = np.zeros(len(texts), np.bool_)
    repeated[order[1:]] = texts[order[1:]] == texts[order[:-1]]
    if repeated.any():
        raise table.error(preferred[0], repeated, "external ids must not occur again")
    return external


def _images(path: Path, n_items: int) -> StringArray:
    """Return an image URL for each item, empty where there is none."""
    table = read_table(path, None, ("itemID", "imUrl"))
    rows = table.integers("itemID", "row numbers", n_items)
    _unique(table, "itemID", rows)
    urls = table.texts("imUrl", 2048)
    images = np.zeros(n_items, urls.dtype)
    images[rows] = urls
    return images


def _unique(table: TextTable, column: str, rows: IntArray) -> None:
    order = np.argsort(rows, kind="stable")
    repeated = np.zeros(len(rows), np.bool_)
    repeated[order[1:]] = rows[order[1:]] == rows[order[:-1]]
    if repeated.any():
        raise table.error(column, repeated, "row numbers must not occur again")
