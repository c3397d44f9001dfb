"""RecBole's atomic files: `.inter`, `.item`, `.user`, tab-separated, with typed headers.

Source: https://recbole.io/docs/user_guide/data/atomic_files.html. A header is ``name:type`` with the types ``token``
(a category), ``token_seq`` (categories separated by spaces), ``float`` and ``float_seq``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import FiniteFloat, model_validator

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.formats.base import BY_MODALITY, FORMATS, DatasetCard, FileName
from mmrec_bench.data.formats.external import MAX_ID, MAX_TITLE, numbered, rows_of
from mmrec_bench.data.formats.pairs import RawPairs
from mmrec_bench.data.formats.tables import TextTable, missing_column, parse_numbers, read_table
from mmrec_bench.data.formats.times import TimestampUnit, seconds
from mmrec_bench.data.formats.vectors import as_table
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.text_vectors import TextVectors
from mmrec_bench.errors import DataError
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray, StringArray

_KINDS = ("token", "token_seq", "float", "float_seq")


class RecBoleCard(DatasetCard):
    """A card of RecBole's atomic files.

    Users and items are those of the interactions together with those of the item and user files. Their row numbers
    follow the natural order of the external ids, whatever the order of the files: ids that are whole numbers first, by
    size, then all others by code point.
    """

    format: Literal["recbole"] = "recbole"
    interactions: FileName
    """The ``.inter`` file."""
    items: FileName | None = None
    """The ``.item`` file."""
    users: FileName | None = None
    """The ``.user`` file; only its ids are read."""
    user_column: str = "user_id"
    """Column of user ids, a token."""
    item_column: str = "item_id"
    """Column of item ids, a token."""
    rating_column: str = "rating"
    """Column of ratings, a float; may be absent unless it is written in the card or a threshold is set."""
    timestamp_column: str = "timestamp"
    """Column of times, a float; may be absent unless it is written in the card."""
    timestamp_unit: TimestampUnit = "s"
    """Unit of the times since 1970."""
    rating_threshold: FiniteFloat | None = None
    """Rows with a smaller rating are left out before anything else is done; all rows are kept by default."""
    title_column: str | None = None
    """Column of the item file with titles, a token or token_seq."""
    word_columns: tuple[str, ...] = ()
    """Columns of the item file with categorical words, token or token_seq; each gives words ``(column, value)``."""
    features: Annotated[Mapping[str, str], BY_MODALITY] = {}
    """Column of the item file for each modality, float or float_seq; an empty cell means absence."""
    text_vectors: Annotated[Mapping[str, TextVectors], BY_MODALITY] = {}
    """Feature tables made of titles and words, by modality, such as ``{text: {dim: 64}}``."""

    @model_validator(mode="after")
    def _item_columns(self) -> Self:
        if self.items is None and (self.features or self.word_columns or self.title_column is not None):
            raise explained_error("features, title_column and word_columns are columns of the item file; add 'items'")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """The keys of `features` and `text_vectors`."""
        return (*self.features, *self.text_vectors)

    @property
    def fields(self) -> Mapping[str, str]:
        """Feature tables, titles and words; see `DatasetCard.fields`."""
        texts = (*self.word_columns, *(() if self.title_column is None else (self.title_column,)))
        return {**self.features, **{column: column for column in texts}}

    @property
    def main_file(self) -> str:
        """The interactions."""
        return self.interactions

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        inter = _Atomic(read_table(folder / self.interactions, "\t", (), None))
        raw_users = inter.ids(self.user_column)
        raw_items = inter.ids(self.item_column)
        timestamps, ratings = self._times(inter), self._ratings(inter)
        notes: list[str] = []
        if self.rating_threshold is not None and ratings is not None:
            kept = ratings >= self.rating_threshold
            if not kept.any():
                raise DataError(f"{inter.table.path}: no row has a rating of at least {self.rating_threshold}")
            notes.append(f"{int((~kept).sum())} of {len(kept)} rows have a rating below {self.rating_threshold}")
            raw_users, raw_items = raw_users.filter(pa.array(kept)), raw_items.filter(pa.array(kept))
            ratings, timestamps = ratings[kept], None if timestamps is None else timestamps[kept]

        described = None if self.items is None else _Atomic(read_table(folder / self.items, "\t", (), None))
        people = None if self.users is None else _Atomic(read_table(folder / self.users, "\t", (), None))
        listed_items = None if described is None else described.unique_ids(self.item_column)
        listed_users = None if people is None else people.unique_ids(self.user_column)
        users, user_ids = numbered(raw_users, listed_users, self.users, notes)
        items, item_ids = numbered(raw_items, listed_items, self.items, notes)
        raw = RawPairs(users, items, len(user_ids), len(item_ids), values=ratings, timestamps=timestamps)
        interactions, n_duplicates, n_across = raw.merged()

        features: dict[str, FeatureTable] = {}
        table = ItemTable()
        if described is not None:
            rows, n_items = rows_of(listed_items, item_ids), len(item_ids)
            for modality in (name for name in chosen if name in self.features):
                matrix = _matrix(described, self.features[modality], rows, n_items)
                features[modality], found = as_table(described.table.path, matrix, modality)
                notes += found
            title = self.title_column
            table = ItemTable(
                titles=None if title is None else _titles(described, title, rows, n_items),
                words=_words(described, self.word_columns, rows, n_items) if self.word_columns else None,
            )
        features |= {name: made.table(name, table) for name, made in self.text_vectors.items() if name in chosen}
        missing = {modality: vectors.n_missing for modality, vectors in features.items()}
        report = DataReport(n_duplicates, n_across, missing, notes=tuple(notes))
        return Dataset(self.name, interactions, features, table, user_ids, item_ids, report)

    def _times(self, inter: _Atomic) -> IntArray | None:
        if not inter.has(self.timestamp_column) and "timestamp_column" not in self.model_fields_set:
            return None
        return seconds(inter.table, inter.column(self.timestamp_column, "float"), self.timestamp_unit)

    def _ratings(self, inter: _Atomic) -> Any:
        asked = "rating_column" in self.model_fields_set or self.rating_threshold is not None
        if not inter.has(self.rating_column) and not asked:
            return None
        return inter.table.numbers(inter.column(self.rating_column, "float"), "ratings")


FORMATS.register("recbole", RecBoleCard)


class _Atomic:
    """A table whose headers are split into names and types."""

    def __init__(self, table: TextTable) -> None:
        self.table = table
        self._headers: dict[str, tuple[str, str]] = {}
        for header in table.columns:
            name, _, kind = header.rpartition(":")
            if not name or kind not in _KINDS:
                message = f"the header '{header[:60]}' must be NAME:TYPE with a type of {', '.join(_KINDS)}"
                raise DataError(f"{table.path}, line 1: {message}")
            if name in self._headers:
                raise DataError(
                    f"{table.path}, line 1: the column '{name[:60]}' is named twice; is the line of names missing?"
                )
            self._headers[name] = (header, kind)

    def has(self, name: str) -> bool:
        return name in self._headers

    def column(self, name: str, *kinds: str) -> str:
        """Return the header of a column of one of these types."""
        if name not in self._headers:
            raise missing_column(self.table.path, name, list(self._headers), "\t")
        header, kind = self._headers[name]
        if kind not in kinds:
            raise DataError(f"{self.table.path}: the column '{name}' must be of type {' or '.join(kinds)}; got {kind}")
        return header

    def ids(self, name: str) -> Any:
        """Return a column of external ids as an Arrow array of text."""
        header = self.column(name, "token")
        texts = self.table.columns[header]
        length = pc.utf8_length(texts).to_numpy()
        if (bad := (length == 0) | (length > MAX_ID)).any():
            raise self.table.error(header, bad, f"ids are texts of 1 to {MAX_ID} characters")
        return texts

    def unique_ids(self, name: str) -> Any:
        """Return a column of external ids in which none occurs again."""
        texts = self.ids(name)
        first = pc.index_in(texts, value_set=pc.unique(texts)).to_numpy()
        if len(pc.unique(texts)) < len(texts):
            again = np.ones(len(texts), np.bool_)
            again[np.unique(first, return_index=True)[1]] = False
            raise self.table.error(self.column(name, "token"), again, "ids must not occur again")
        return texts


def _titles(atomic: _Atomic, column: str, rows: IntArray, n_items: int) -> StringArray:
    texts = atomic.table.columns[atomic.column(column, "token", "token_seq")]
    titles = [""] * n_items
    for row, text in zip(rows.tolist(), texts.to_pylist(), strict=True):
        titles[row] = text[:MAX_TITLE]
    return np.array(titles, np.str_)


def _words(atomic: _Atomic, columns: Sequence[str], rows: IntArray, n_items: int) -> Words:
    words: list[list[tuple[str, str]]] = [[] for _ in range(n_items)]
    for column in columns:
        header = atomic.column(column, "token", "token_seq")
        texts = atomic.table.columns[header].to_pylist()
        split = header.endswith(":token_seq")
        for row, text in zip(rows.tolist(), texts, strict=True):
            words[row] += [(column, value) for value in (text.split() if split else [text]) if value]
    return Words.of(words)


def _matrix(atomic: _Atomic, column: str, rows: IntArray, n_items: int) -> Any:
    """Return the vectors of a float_seq column, float64 ``[n_items, d]``; zero where a cell is empty."""
    header = atomic.column(column, "float", "float_seq")
    texts = atomic.table.columns[header]
    filled = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
    if not filled.any():
        raise DataError(f"{atomic.table.path}: the column '{column}' is empty in every row, so it is no modality")
    cells = pc.split_pattern(texts.filter(pa.array(filled)), " ")
    lengths = pc.list_value_length(cells).to_numpy()
    if (odd := lengths != lengths[0]).any():
        bad = np.zeros(len(texts), np.bool_)
        bad[np.flatnonzero(filled)[odd]] = True
        raise atomic.table.error(header, bad, f"vectors need one length, that of the first: {lengths[0]}")
    values, wrong = parse_numbers(pc.list_flatten(cells))
    if wrong.any():
        bad = np.zeros(len(texts), np.bool_)
        bad[np.flatnonzero(filled)[wrong.reshape(len(cells), -1).any(axis=1)]] = True
        raise atomic.table.error(header, bad, "vectors are finite numbers separated by single spaces")
    matrix = np.zeros((n_items, int(lengths[0])))
    matrix[rows[filled]] = values.reshape(len(cells), -1)
    return matrix
