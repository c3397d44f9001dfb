"""Reading lists that strangers send: what a parquet file claims, and its pages, are checked before any is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.pages import ENCODINGS, Chunk, check_apart, chunks_of, pages_of
from mmrec_bench.types import BoolArray, IntArray, StringArray

MAX_FILE = 256 << 20
"""Bytes of the lists of one seed."""
MAX_ROWS = 40_000_000
"""Rows of the lists of one seed, where the data do not tell how many there may be."""
MAX_DECODED = 2 << 30
"""Bytes of the columns of one seed, once they are decompressed."""
MAX_TEXTS, MAX_TEXT = 64 << 20, 2000
"""Bytes of all different texts of a column, and letters of one."""
CELL = 32
"""Bytes of a cell, once it is decompressed, beside those of the different texts."""
MAX_GROUPS, MAX_PAGES, MAX_FOOTER = 10_000, 50_000, 4 << 20
"""Groups of rows, and pages, that a file is made of, and bytes of what it says of itself."""
CODECS = ("SNAPPY", "ZSTD", "UNCOMPRESSED")
"""Compressions that are read."""

Kind: TypeAlias = Literal["text", "optional text", "int", "float", "bool"]


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows the lists of one seed may have.

    Attributes:
        fewest: The least.
        most: The most; what the data do not bound is bounded by what is read at all.
    """

    fewest: int = 0
    most: int = MAX_ROWS

    @classmethod
    def exactly(cls, n: int) -> RowCount:
        """Return the one number that is right."""
        return cls(n, n)

    def __str__(self) -> str:
        return f"{'' if self.fewest == self.most else 'at most '}{self.most:,}"


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of texts.

    Attributes:
        codes: Place of the text of each row in `values`, int64 ``[N]``; -1 for none.
        values: Different texts.
    """

    codes: IntArray
    values: list[str]

    def rows(self, known: pd.Index) -> IntArray:
        """Return the place of the text of each row among known ones, int64 ``[N]``; -1 for unknown and none."""
        places = known.get_indexer(pd.Index(self.values, dtype=object)) if self.values else np.zeros(0, np.int64)
        return np.append(places, -1).astype(np.int64)[self.codes]

    def unknown(self, known: pd.Index) -> list[str]:
        """Return texts that occur and are not known."""
        used = np.unique(self.codes[self.codes >= 0])
        missing = known.get_indexer(pd.Index([self.values[code] for code in used], dtype=object)) < 0
        return [self.values[code] for code in used[missing]]


@dataclass(frozen=True, slots=True, eq=False)
class ListTable:
    """The lists of one seed.

    Attributes:
        numbers: Columns of numbers: int64, float32, bool.
        texts: Columns of text.
        n: Rows.
    """

    numbers: Mapping[str, Any]
    texts: Mapping[str, Texts]
    n: int

    def frame(self) -> pd.DataFrame:
        """Return all columns as they stand in the file; texts are categories."""
        texts = {
            name: pd.Categorical.from_codes(found.codes, pd.Index(found.values, dtype=object))
            for name, found in self.texts.items()
        }
        return pd.DataFrame({**self.numbers, **texts})

    def of(self, part: str) -> ListTable:
        """Return the rows of one part."""
        column = self.texts["part"]
        code = column.values.index(part) if part in column.values else -2
        rows: BoolArray = column.codes == code
        texts = {name: Texts(found.codes[rows], found.values) for name, found in self.texts.items()}
        return ListTable({name: found[rows] for name, found in self.numbers.items()}, texts, int(rows.sum()))


def read_lists(content: bytes, columns: Mapping[str, Kind], n_rows: RowCount) -> ListTable:
    """Decode a parquet file.

    Args:
        content: Its bytes.
        columns: Kind of each column; there must be no other, and all of them.
        n_rows: How many rows there must be.

    Raises:
        ArtefactError: Which claim of the file is wrong, or cannot be met.
        MemoryError: Its claims are allowed, and there is less memory than they take.
    """
    texts = [name for name, kind in columns.items() if kind in ("text", "optional text")]
    if (size := int.from_bytes(content[-8:-4], "little")) > MAX_FOOTER:
        raise ArtefactError(f"is no parquet file that can be read: its footer has {size:,} bytes, over {MAX_FOOTER:,}")
    try:
        chunks = chunks_of(content)
        _check_claims(pq.ParquetFile(pa.BufferReader(content)), chunks, columns, n_rows)
        file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
        _check_pages(content, chunks, file.metadata)
        table = file.read(columns=list(columns), use_threads=False).replace_schema_metadata(None)
        table.validate(full=True)  # indices of dictionaries are looked up unchecked
        return ListTable(
            {name: _numbers(table[name], name, kind) for name, kind in columns.items() if name not in texts},
            {name: _texts(table[name], name, columns[name] != "text") for name in texts},
            table.num_rows,
        )
    except MemoryError:
        raise  # which is one of Arrow's, too; the file is not to blame
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise ArtefactError(
            f"is no parquet file that can be read: {str(error).strip().partition(chr(10))[0][:200]}"
        ) from None


def _check_claims(file: pq.ParquetFile, chunks: Sequence[Chunk], columns: Mapping[str, Kind], n_rows: RowCount) -> None:
    told, schema = file.metadata, file.schema_arrow
    if list(schema.names) != list(columns):
        raise ArtefactError(
            f"needs the columns {', '.join(columns)}; has {', '.join(ascii(name)[:40] for name in schema.names[:20])}"
        )
    for name, kind in columns.items():
        if not _is(schema.field(name).type, kind):
            raise ArtefactError(f"column {name} needs {kind}; is {str(schema.field(name).type)[:60]}")
    if not n_rows.fewest <= told.num_rows <= n_rows.most:
        raise ArtefactError(f"has {told.num_rows:,} rows; the track has {n_rows}")
    if told.num_row_groups > MAX_GROUPS:
        raise ArtefactError(f"has {told.num_row_groups:,} groups of rows; at most {MAX_GROUPS:,} are read")
    groups = [told.row_group(place) for place in range(told.num_row_groups)]
    if sum(group.num_rows for group in groups) != told.num_rows:
        raise ArtefactError("claims other numbers of rows in its parts than in all")
    if (size := sum(chunk.decoded for chunk in chunks)) > MAX_DECODED:
        raise ArtefactError(f"claims {size:,} bytes once it is decompressed; at most {MAX_DECODED:,} are read")
    if other := {chunk.compression for chunk in chunks} - set(CODECS):
        raise ArtefactError(f"is compressed by {', '.join(sorted(other))}; allowed are {', '.join(CODECS)}")
    check_apart(chunks)


def _check_pages(content: bytes, chunks: Sequence[Chunk], told: pq.FileMetaData) -> None:
    """Check what the pages take once they are decompressed, which is what decoding takes, whatever was claimed."""
    size = count = 0
    most = min(MAX_DECODED, MAX_TEXTS + CELL * told.num_rows * told.num_columns)
    for page in pages_of(content, chunks):
        size, count = size + page.size, count + 1
        if size > most:
            raise ArtefactError(f"holds more bytes of texts and numbers than {most:,}, which its rows may take")
        if count > MAX_PAGES:
            raise ArtefactError(f"has more than {MAX_PAGES:,} pages, which are not read")
        if page.encoding not in ENCODINGS:
            allowed = ", ".join(ENCODINGS.values())
            raise ArtefactError(f"holds a page of encoding {page.encoding}; allowed are {allowed}")


def _is(found: pa.DataType, kind: Kind) -> bool:
    if kind in ("text", "optional text"):
        plain = found.value_type if pa.types.is_dictionary(found) else found
        # a column of nothing but null has no type of its own
        return bool(
            pa.types.is_string(plain)
            or pa.types.is_large_string(plain)
            or (kind == "optional text" and pa.types.is_null(plain))
        )
    check = {"int": pa.types.is_integer, "float": pa.types.is_floating, "bool": pa.types.is_boolean}[kind]
    return bool(check(found))


def _numbers(column: pa.ChunkedArray, name: str, kind: Kind) -> Any:
    if column.null_count:
        raise ArtefactError(f"column {name} lacks {column.null_count:,} values")
    if kind == "int":
        return column.cast(pa.int64()).to_numpy()
    if kind == "bool":
        return column.to_numpy()
    if column.type not in (pa.float32(), pa.float64()):
        raise ArtefactError(f"column {name} needs float32 or float64; is {column.type}")
    # As evaluators read them: what they see as equal is equal. What is too great becomes infinite, which is refused.
    with np.errstate(over="ignore"):
        return column.to_numpy().astype(np.float32, copy=False)


def _texts(column: pa.ChunkedArray, name: str, optional: bool) -> Texts:
    if not optional and column.null_count:
        raise ArtefactError(f"column {name} lacks {column.null_count:,} values")
    if pa.types.is_null(column.type):
        return Texts(np.full(len(column), -1, np.int64), [])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return Texts(np.zeros(0, np.int64), [])
    words = column.chunk(0).dictionary
    if words.nbytes > MAX_TEXTS:
        raise ArtefactError(f"column {name} holds {words.nbytes:,} bytes of texts; at most {MAX_TEXTS:,} are read")
    values = [word if word is not None else "" for word in words.to_pylist()]
    if longest := max((word for word in values), key=len, default="")[MAX_TEXT:]:
        raise ArtefactError(f"column {name} holds a text of {len(longest) + MAX_TEXT:,} letters")
    if len(set(values)) < len(values):
        raise ArtefactError(f"column {name} holds a text twice in its dictionary")
    codes = [chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return Texts(np.concatenate(codes).astype(np.int64), values)


def index_of(ids: StringArray) -> pd.Index:
    """Return known ids for look-ups."""
    found: pd.Index = pd.Index(ids.astype(object))
    return found
