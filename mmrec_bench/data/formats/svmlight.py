"""Lines of svmlight files, ``LABEL qid:QUERY FEATURE:VALUE ... # COMMENT``, to arrays.

Pairs are parsed by Arrow, some thousand lines at a time. Where anything is wrong, or merely unusual, the lines are read
once more one by one, which names the first bad one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from mmrec_bench.data.formats.external import MAX_ID
from mmrec_bench.data.formats.tables import check_text, read_file, shown
from mmrec_bench.data.lists import MAX_LABEL
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, DoubleArray, FloatArray, IntArray

MAX_FEATURES = 10_000
"""Largest feature number of a file about which nothing is known: a larger one is a mistake, and would fill memory."""

_CHUNK = 1 << 12
"""Lines whose pairs are parsed at a time."""

_LARGEST = float(np.finfo(np.float32).max)

_LABEL = re.compile(rb"[0-9]{1,9}(\.0*)?")
_PAIR = re.compile(rb"([0-9]{1,9}):([-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?)")


@dataclass(frozen=True, slots=True, eq=False)
class SvmLines:
    """The rows of a file; blank lines and lines of comment alone are none.

    Attributes:
        path: The file.
        labels: int64 ``[N]`` in 0..31.
        queries: Text after ``qid:`` of each row, None where there is none.
        comments: What follows ``#`` in each row, or nothing.
        features: float32 ``[N, f]``, column 0 for the first feature; 0 where a line does not name a feature.
        lines: One-based line of each row, int64 ``[N]``.
    """

    path: Path
    labels: IntArray
    queries: list[str | None]
    comments: list[str]
    features: FloatArray
    lines: IntArray

    def error(self, row: int, message: str) -> DataError:
        """Return an error that names the line of a row."""
        return DataError(f"{self.path}, line {self.lines[row]}: {message}")


def read_svmlight(path: Path, first_feature: int, n_features: int | None) -> SvmLines:
    """Read a file, gzip or not.

    Args:
        path: The file; ASCII or UTF-8.
        first_feature: Smallest feature number, 0 or 1.
        n_features: Number of columns; up to the largest feature of the file by default.

    Raises:
        DataError: Names file, line, value and what is allowed.
    """
    data = read_file(path).removeprefix(b"\xef\xbb\xbf").replace(b"\t", b" ")
    check_text(path, data)
    reader = _Reader(path, first_feature, first_feature + (n_features or MAX_FEATURES) - 1, n_features is not None)
    lines = data.splitlines()
    reader.cut_off = len(lines) if data and data[-1:] not in (b"\n", b"\r") else None
    labels, queries, comments, numbers, pairs = [], [], [], [], []
    for number, line in enumerate(lines, 1):
        body, _, comment = line.partition(b"#")
        label, _, rest = body.strip(b" ").partition(b" ")
        if not label:
            continue
        query, rest = _query(rest.lstrip(b" "))
        labels.append(reader.label(label, number))
        queries.append(query)
        comments.append(comment.decode())
        numbers.append(number)
        pairs.append(rest)
    if not labels:
        raise DataError(f"{path}: is empty; needs lines such as '2 qid:1 1:0.5 2:0.25'")
    chunks = [
        reader.matrix(pairs[start : start + _CHUNK], numbers[start : start + _CHUNK])
        for start in range(0, len(pairs), _CHUNK)
    ]
    reader.check_the_end(numbers[-1])
    features = np.zeros((len(labels), n_features or max(chunk.shape[1] for chunk in chunks)), np.float32)
    for place, chunk in enumerate(chunks):
        features[place * _CHUNK : place * _CHUNK + len(chunk), : chunk.shape[1]] = chunk
    return SvmLines(path, np.array(labels, np.int64), queries, comments, features, np.array(numbers, np.int64))


def _query(rest: bytes) -> tuple[str | None, bytes]:
    """Part what follows the label into the query, None where there is none, and the pairs."""
    if not rest.startswith(b"qid:"):
        return None, rest
    query, _, pairs = rest[4:].partition(b" ")
    return query.decode(), pairs


class _Reader:
    """Parses labels and pairs of one file.

    Args:
        path: The file, for messages.
        first: Smallest feature number.
        last: Largest feature number.
        stated: Whether the card states the number of features.
    """

    def __init__(self, path: Path, first: int, last: int, stated: bool) -> None:
        self._path = path
        self._first, self._last, self._stated = first, last, stated
        self._labels: dict[bytes, int] = {}
        self._counts: list[IntArray] = []
        self.cut_off: int | None = None
        """The last line, if it has no line end."""

    def label(self, text: bytes, line: int) -> int:
        """Return the label of a line."""
        if text not in self._labels:
            if not _LABEL.fullmatch(text) or float(text) > MAX_LABEL:
                remedy = "; leave out rows that nobody judged" if text.startswith(b"-") else ""
                raise self._error(
                    line, f"the label {_shown(text)} must be a whole number from 0 to {MAX_LABEL}{remedy}"
                )
            self._labels[text] = int(float(text))
        return self._labels[text]

    def matrix(self, pairs: Sequence[bytes], lines: Sequence[int]) -> FloatArray:
        """Return the features of some lines, float32 ``[n, f]`` up to the largest feature among them."""
        counts = np.array([text.count(b":") for text in pairs], np.int64)
        parsed = _parsed(pairs, int(counts.sum()))
        starts = np.zeros(counts.sum(), np.bool_)
        starts[(np.cumsum(counts) - counts)[counts > 0]] = True
        if parsed is None or self._wrong(*parsed, starts):
            parsed = self._line_by_line(pairs, lines)
        self._counts.append(counts)
        numbers, values = parsed
        columns = numbers - self._first
        matrix = np.zeros((len(pairs), int(columns.max(initial=-1)) + 1), np.float32)
        matrix[np.repeat(np.arange(len(pairs)), counts), columns] = values
        return matrix

    def check_the_end(self, line: int) -> None:
        """Refuse a last line that is cut off between two pairs, which dense files show."""
        *others, last = np.concatenate(self._counts).tolist()
        if line == self.cut_off and len(set(others)) == 1 and last < others[0]:
            message = f"names {last} features, every other line {others[0]}; end the line where it is whole"
            raise self._error(line, message)

    def _wrong(self, numbers: IntArray, values: DoubleArray, starts: BoolArray) -> bool:
        rising = (np.diff(numbers, prepend=-1) > 0) | starts
        within = (numbers >= self._first) & (numbers <= self._last)
        return not (rising & within & (np.abs(values) <= _LARGEST)).all()

    def _line_by_line(self, pairs: Sequence[bytes], lines: Sequence[int]) -> tuple[IntArray, DoubleArray]:
        numbers: list[int] = []
        values: list[float] = []
        for text, line in zip(pairs, lines, strict=True):
            previous = -1
            for pair in text.split(b" "):
                if not pair:
                    continue
                match = _PAIR.fullmatch(pair)
                if match is None:
                    raise self._error(line, _malformed(pair))
                number, value = int(match[1]), float(match[2])
                if not self._first <= number <= self._last:
                    raise self._error(line, self._outside(number))
                if number <= previous:
                    what = "is named twice" if number == previous else f"comes after feature {previous}"
                    raise self._error(line, f"feature {number} {what}; features of a line must rise")
                if abs(value) > _LARGEST:
                    raise self._error(line, f"{_shown(pair)} is infinite as float32; features are finite numbers")
                numbers.append(number)
                values.append(value)
                previous = number
        return np.array(numbers, np.int64), np.array(values, np.float64)

    def _outside(self, number: int) -> str:
        allowed = f"there is a feature {number}; features are numbered from {self._first} to {self._last}"
        if number < self._first:
            return f"{allowed}. Where a file counts from 0, write first_feature: 0 in the card"
        key = "correct" if self._stated else "write"
        return f"{allowed}. Where a file has more, {key} n_features in the card"

    def _error(self, line: int, message: str) -> DataError:
        cut_off = "; the file ends within this line, so it may be cut short" if line == self.cut_off else ""
        return DataError(f"{self._path}, line {line}: {message}{cut_off}")


def _parsed(pairs: Sequence[bytes], n_pairs: int) -> tuple[IntArray, DoubleArray] | None:
    """Return feature numbers and values of all lines, or None where they are not numbers in the plainest form."""
    text = b"\n".join(pairs).replace(b" ", b"\n")
    if b"x" in text or b"X" in text:  # Arrow takes 0x1F for a whole number
        return None
    if n_pairs == 0:
        return None if text.strip() else (np.zeros(0, np.int64), np.zeros(0))
    reading = pacsv.ReadOptions(column_names=["feature", "value"], use_threads=False)
    parsing = pacsv.ParseOptions(delimiter=":", quote_char=False)
    converting = pacsv.ConvertOptions(column_types={"feature": pa.int64(), "value": pa.float64()}, null_values=[])
    try:
        table = pacsv.read_csv(pa.BufferReader(text), reading, parsing, converting)
    except pa.ArrowInvalid:
        return None
    if table.num_rows != n_pairs:
        return None
    return table.column("feature").to_numpy(), table.column("value").to_numpy()


def _malformed(pair: bytes) -> str:
    if re.fullmatch(rb"[0-9]+:[-+]?(nan|inf|infinity)", pair, re.IGNORECASE):
        return f"{_shown(pair)} is not finite; features are finite numbers"
    if pair.startswith(b"qid:"):
        return f"{_shown(pair)} must follow the label"
    return f"{_shown(pair)} is no pair FEATURE:VALUE, such as 12:0.5"


def _shown(text: bytes) -> str:
    return shown(text.decode(errors="replace"))


def check_query(lines: SvmLines, row: int) -> str:
    """Return the query of a row.

    Raises:
        DataError: There is none, it is empty or too long.
    """
    query = lines.queries[row]
    if query is None:
        raise lines.error(
            row, "has no qid:QUERY after the label; write it, or name files of group sizes under 'groups'"
        )
    if not 0 < len(query) <= MAX_ID:
        raise lines.error(row, f"the query {shown(query)} must have 1 to {MAX_ID} characters")
    return query
