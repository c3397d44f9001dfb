"""Delimited text files, read strictly: every defect is named with file, line, column and value."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mmrec_bench.data.raw.files import check_unpacked, unpacked_limit
from mmrec_bench.errors import DataError
from mmrec_bench.registry import nearest
from mmrec_bench.types import BoolArray, DoubleArray, IntArray, StringArray

Separator: TypeAlias = Literal["\t", ",", ";", "|", " "]
"""Between the columns of a line. Only files with commas may quote values (``"a, b"``)."""

_BLOCK = 1 << 24
"""Bytes parsed at a time; no line may be longer."""

_INTEGER = r"^[0-9]{1,19}$"
_NUMBER = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,4})?$"


def read_file(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is gzip.

    Raises:
        DataError: It is missing, no file, cannot be read, is a damaged archive, or unpacks to too much.
    """
    try:
        data = path.read_bytes()
        return _unpacked(path, data) if data.startswith(b"\x1f\x8b") else data
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the name in the card and the folder of the data") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is a damaged gzip file ({error}); get it again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{str(path)!r}: cannot be read: {reason}") from None


def _unpacked(path: Path, data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(unpacked_limit(len(data)) + 1)
    check_unpacked(path, len(found), len(data))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class TextTable:
    """Columns of text with the methods that turn them into checked arrays.

    Attributes:
        path: The file, for messages.
        columns: Arrow string arrays by name, equally long.
        n_rows: Number of rows; blank lines are none.
        unread: Names of columns that were not asked for.
    """

    path: Path
    columns: dict[str, Any]
    n_rows: int
    unread: tuple[str, ...] = ()

    def integers(self, column: str, meaning: str, bound: int | None = None) -> IntArray:
        """Return a column of whole numbers >= 0, int64 ``[n_rows]``.

        Args:
            column: Name of the column.
            meaning: What the numbers are, for messages (``user row numbers``).
            bound: The first number that is too large.

        Raises:
            DataError: Names line and value of the first bad cell, and how many there are.
        """
        texts = self.columns[column]
        allowed = f"{meaning} are whole numbers from 0" + ("" if bound is None else f" to {bound - 1}")
        self._require(column, pc.match_substring_regex(texts, _INTEGER), allowed)
        try:
            numbers: IntArray = pc.cast(texts, pa.int64()).to_numpy()
        except pa.ArrowInvalid:  # 19 digits may pass 2**63
            large = np.array([int(text) >= 2**63 for text in texts.to_pylist()])
            raise self.error(column, large, allowed) from None
        if bound is not None and len(numbers) and numbers.max() >= bound:
            raise self.error(column, numbers >= bound, allowed)
        return numbers

    def numbers(self, column: str, meaning: str) -> DoubleArray:
        """Return a column of finite numbers, float64 ``[n_rows]``.

        Raises:
            DataError: Names line and value of the first bad cell, and how many there are.
        """
        numbers, bad = parse_numbers(self.columns[column])
        if bad.any():
            raise self.error(column, bad, f"{meaning} are finite numbers")
        return numbers

    def texts(self, column: str, max_length: int = 255) -> StringArray:
        """Return a column as numpy text ``[n_rows]``; every row takes the memory of the longest.

        Raises:
            DataError: A value has more than ``max_length`` characters.
        """
        texts = self.columns[column]
        short = pc.less_equal(pc.utf8_length(texts), max_length)
        self._require(column, short, f"texts here have at most {max_length} characters")
        return np.array(texts.to_pylist(), np.str_)

    def _require(self, column: str, good: Any, allowed: str) -> None:
        if not pc.all(good, min_count=0).as_py():
            raise self.error(column, ~good.to_numpy(zero_copy_only=False).astype(bool), allowed)

    def error(self, column: str, bad: BoolArray, allowed: str) -> DataError:
        """Return an error that shows the first bad cell of a column, its line, and how many are bad."""
        row = int(np.flatnonzero(bad)[0])
        value = shown(str(self.columns[column][row].as_py()))
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        return DataError(f"{self.path}, {self.place(row)}: column '{column}' holds {value}; {allowed}{more}")

    def place(self, row: int) -> str:
        """Return where a row stands, for messages."""
        return f"line {self.line(row)}"

    def line(self, row: int) -> int:
        """Return the one-based line of a row; reads the file again, which only messages do."""
        lines = read_file(self.path).splitlines()
        filled = (number for number, line in enumerate(lines, 1) if line)
        return next(islice(filled, row + 1, None), len(lines))


def parse_numbers(texts: Any) -> tuple[DoubleArray, BoolArray]:
    """Return an Arrow array of text as numbers, float64 ``[n]``, and where they are none, or not finite as float32."""
    if pa.types.is_float64(texts.type):  # of files that hold numbers
        stored: DoubleArray = texts.to_numpy(zero_copy_only=False)
        return stored, ~(np.abs(stored) <= np.finfo(np.float32).max)
    good = pc.match_substring_regex(texts, _NUMBER)
    plain = pc.replace_substring_regex(pc.if_else(good, texts, "nan"), r"^\+", "")
    numbers: DoubleArray = pc.cast(plain, pa.float64()).to_numpy()
    return numbers, ~(np.abs(numbers) <= np.finfo(np.float32).max)


def shown(value: str) -> str:
    """Return a value for a message, cut to 60 characters."""
    return repr(value if len(value) <= 60 else value[:60] + "…")


def check_text(path: Path, data: bytes) -> None:
    """Refuse what is no UTF-8 text; Arrow's handler of bad rows would print a traceback for it."""
    if (place := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, place) + 1
        raise DataError(f"{path}, line {line}: holds a NUL byte; is this a text file?")
    if not _is_utf8(data):
        line = next(number for number, text in enumerate(data.splitlines(), 1) if not _is_utf8(text))
        raise DataError(f"{path}, line {line}: is not UTF-8 text; save the file as UTF-8")


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()  # in blocks: the text itself is not needed
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(memoryview(data)[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _header(path: Path, first: bytes, separator: Separator) -> list[str]:
    """Return the names of the columns from the first line."""
    try:
        line = first.decode("utf-8-sig")
        names = next(csv.reader([line], strict=True), []) if separator == "," else line.split(separator)
    except csv.Error as error:
        raise DataError(f"{path}, line 1: {error}") from None
    names = [name.strip() for name in names]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}, line 1: the column {shown(repeated[0])} is named twice")
    return names


def read_table(
    path: Path, separator: Separator | None, required: Sequence[str], optional: Sequence[str] | None = ()
) -> TextTable:
    """Read columns of a delimited text file with a header line.

    Args:
        path: The file; UTF-8, with or without byte order mark, any line ends.
        separator: Between columns; None means a tab if the header holds one, else a comma.
        required: Columns that must be there.
        optional: Columns that are read if they are there; None means all others.

    Raises:
        DataError: Names the file, the line and what is wrong.
    """
    data = read_file(path)
    check_text(path, data)
    first = next(re.finditer(rb"[^\r\n]*", data)).group()
    if separator is None:
        separator = "\t" if b"\t" in first else ","
    if not data.strip():
        raise DataError(f"{path}: is empty; needs a first line with the names of the columns, and rows")
    columns = _header(path, first, separator)
    for name in required:
        if name not in columns:
            raise missing_column(path, name, columns, separator)
    wanted = [name for name in columns if optional is None or name in required or name in optional]
    body = memoryview(data)[len(first) :]
    table = _parse(path, body, columns, wanted, separator)
    if table.num_rows == 0:
        raise DataError(f"{path}: has a header, but no row")
    if separator == ",":  # a quoted value that spans lines would shift all that follows
        n_lines = sum(1 for line in bytes(body).splitlines() if line)
        if n_lines != table.num_rows:
            counts = f"{n_lines} lines make {table.num_rows} rows"
            raise DataError(f"{path}: a quoted value spans several lines, or a quote is never closed: {counts}")
    arrays = {name: table.column(name).combine_chunks() for name in wanted}
    return TextTable(path, arrays, table.num_rows, tuple(name for name in columns if name not in wanted))


def missing_column(path: Path, name: str, columns: Sequence[str], separator: Separator | None = None) -> DataError:
    """Return an error that names a missing column, those found, and the nearest of them."""
    close = nearest(name, columns)
    hint = f" Did you mean '{close}'?" if close else ""
    if len(columns) == 1 and separator is not None:
        hint += f" There is only one column: is {separator!r} the separator of this file?"
    found = ", ".join(shown(column) for column in columns[:20])
    return DataError(f"{path}: the column '{name}' is missing; found: {found}.{hint}")


def _parse(path: Path, body: memoryview, columns: list[str], wanted: list[str], separator: Separator) -> Any:
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "error"

    reading = pacsv.ReadOptions(
        column_names=columns,
        block_size=_BLOCK,
        use_threads=False,  # threads would hide the number of a bad row
    )
    quote = '"' if separator == "," else False
    parsing = pacsv.ParseOptions(delimiter=separator, quote_char=quote, invalid_row_handler=note)
    converting = pacsv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
    )
    try:
        return pacsv.read_csv(pa.BufferReader(body), reading, parsing, converting)
    except pa.ArrowInvalid as error:
        if wrong:
            line = TextTable(path, {}, 0).line(wrong[0].number - 1)
            counts = f"has {wrong[0].actual_columns} columns, the header {wrong[0].expected_columns}"
            raise DataError(f"{path}, line {line}: {counts}; columns are separated by {separator!r}") from None
        raise DataError(f"{path}: cannot be parsed: {' '.join(str(error).split())[:200]}") from None
