"""The columns of a log of lists, each checked as what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec_bench.data.formats.external import MAX_ID, natural_order, rows_of
from mmrec_bench.data.formats.parquet import read_columns
from mmrec_bench.data.formats.tables import TextTable, missing_column, shown
from mmrec_bench.data.formats.times import TimestampUnit, seconds
from mmrec_bench.data.lists import MAX_LABEL
from mmrec_bench.data.split_rule import PARTS
from mmrec_bench.errors import DataError
from mmrec_bench.registry import nearest
from mmrec_bench.types import BoolArray, FloatArray, IntArray, StringArray

LogColumn: TypeAlias = Literal["list", "item", "user", "position", "click", "label", "timestamp", "propensity", "part"]
"""What a column can stand for."""

_REQUIRED: tuple[LogColumn, ...] = ("list", "item")
_CLICKS = {"0": 0, "1": 1, "false": 0, "true": 1, "False": 0, "True": 1}
_PARTS = {name: part for part, name in enumerate(PARTS)} | {str(part): part for part in range(len(PARTS))}


class LogTable:
    """A log whose columns are named by what they stand for; what may be absent is None.

    Args:
        path: The file.
        names: What columns are called in the file where that is not their name; these must be there.
        described_by: Columns of numbers that describe a row.
        unit: Unit of times that are numbers.

    Raises:
        DataError: A column is missing.
    """

    def __init__(
        self, path: Path, names: Mapping[LogColumn, str], described_by: Sequence[str], unit: TimestampUnit
    ) -> None:
        known: tuple[LogColumn, ...] = get_args(LogColumn)
        self._names = {name: names.get(name, name) for name in known}
        self._described_by, self._unit = described_by, unit
        required = [self._names[name] for name in known if name in names or name in _REQUIRED]
        numbers = [self._names["timestamp"], self._names["propensity"], *described_by]
        self._table = read_columns(path, [*required, *described_by], list(self._names.values()), numbers, unit)
        if not self.has("click") and not self.has("label"):
            error = missing_column(path, self._names["click"], [*self._table.columns, *self._table.unread])
            raise DataError(f"{error} There is no '{self._names['label']}' either; one of the two is needed")
        if self.has("click") and not self.has("position"):
            raise DataError(
                f"{path}: has the column '{self._names['click']}', but no '{self._names['position']}': without the "
                "place at which a row was shown, no bias can be told. Name the column under 'columns' of the card"
            )

    def has(self, name: LogColumn) -> bool:
        """Whether the file has the column."""
        return self._names[name] in self._table.columns

    def error(self, name: LogColumn, bad: BoolArray, allowed: str) -> DataError:
        """Return an error that shows the first bad cell of a column."""
        return self._table.error(self._names[name], bad, allowed)

    def ids(self, name: LogColumn) -> Any:
        """Return a column of external ids as an Arrow array of text."""
        return checked_ids(self._table, self._names[name])

    def rows(self, name: LogColumn, catalogue: StringArray | None = None) -> tuple[IntArray, StringArray]:
        """Return the row number of each id, and the ids by row number: of the catalogue, or in natural order."""
        texts = self.ids(name)
        if catalogue is None:
            catalogue = natural_order(pc.unique(texts))
        else:
            known = pc.is_in(texts, value_set=pa.array(catalogue.tolist(), pa.string()))
            if not (found := known.to_numpy(zero_copy_only=False)).all():
                raise self.error(name, ~found, "it is not in the file under 'items'")
        return rows_of(texts, catalogue), catalogue

    def positions(self) -> IntArray | None:
        """Return places from 1."""
        if not self.has("position"):
            return None
        positions = self._table.integers(self._names["position"], "positions")
        if (bad := positions < 1).any():
            raise self.error("position", bad, "positions are whole numbers from 1 (the top)")
        return positions

    def labels(self) -> IntArray | None:
        """Return graded relevance."""
        if not self.has("label"):
            return None
        return self._table.integers(self._names["label"], "labels", MAX_LABEL + 1)

    def clicks(self) -> BoolArray | None:
        """Return whether rows were clicked."""
        codes = self._coded("click", _CLICKS, "clicks are 0 or 1")
        return None if codes is None else codes.astype(np.bool_)

    def parts(self) -> Any:
        """Return parts of the delivered split, int8."""
        codes = self._coded("part", _PARTS, "parts are train, valid or test")
        return None if codes is None else codes.astype(np.int8)

    def times(self) -> IntArray | None:
        """Return seconds UTC."""
        return seconds(self._table, self._names["timestamp"], self._unit) if self.has("timestamp") else None

    def propensities(self) -> FloatArray | None:
        """Return probabilities of observation."""
        if not self.has("propensity"):
            return None
        numbers = self._table.numbers(self._names["propensity"], "propensities").astype(np.float32)
        if (bad := ~((numbers > 0) & (numbers <= 1))).any():
            raise self.error("propensity", bad, "propensities are probabilities above 0 (as float32), and at most 1")
        return numbers

    def features(self) -> FloatArray | None:
        """Return the features of each row, one column for each that describes it."""
        if not self._described_by:
            return None
        features = np.empty((self._table.n_rows, len(self._described_by)), np.float32)
        for place, column in enumerate(self._described_by):
            features[:, place] = self._table.numbers(column, "features")
        return features

    def notes(self) -> tuple[str, ...]:
        """Return which columns were not read, and which name was perhaps meant."""
        notes = []
        for column in self._table.unread:
            close = nearest(column, [name for name in self._names.values() if name not in self._table.columns])
            hint = f"; did it mean '{close}'?" if close else ""
            notes.append(f"column {shown(column)} is not read{hint}")
        return tuple(notes)

    def _coded(self, name: LogColumn, codes: Mapping[str, int], allowed: str) -> IntArray | None:
        if not self.has(name):
            return None
        places = pc.index_in(self._table.columns[self._names[name]], value_set=pa.array(list(codes), pa.string()))
        if places.null_count:
            raise self.error(name, places.is_null().to_numpy(zero_copy_only=False), allowed)
        found: IntArray = np.array(list(codes.values()), np.int64)[places.to_numpy()]
        return found


def checked_ids(table: TextTable, column: str) -> Any:
    """Return a column of external ids as an Arrow array of text.

    Raises:
        DataError: One is empty or too long.
    """
    texts = table.columns[column]
    lengths = pc.utf8_length(texts).to_numpy()
    if (bad := (lengths == 0) | (lengths > MAX_ID)).any():
        raise table.error(column, bad, f"ids are texts of 1 to {MAX_ID} characters")
    return texts


def read_catalogue(path: Path, column: str) -> StringArray:
    """Return the external ids that a file lists, each once, in its order.

    Raises:
        DataError: One is empty, too long or comes again.
    """
    table = read_columns(path, [column])
    external = np.array(checked_ids(table, column).to_pylist(), np.str_)
    again = np.ones(len(external), np.bool_)
    again[np.unique(external, return_index=True)[1]] = False
    if again.any():
        raise table.error(column, again, "ids must not occur again")
    return external
