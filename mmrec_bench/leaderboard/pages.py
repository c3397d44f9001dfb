"""What parquet files are made of: read from their bytes, since decoders trust what a file says of itself.

pyarrow tells the same, but ends the process where it finds what it cannot read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.thrift import UNREADABLE, structure

ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}
"""Encodings whose values take no more than a page has; those that tell a text by the one before can take endlessly."""
COMPRESSIONS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
"""Compressions by their numbers."""
MAX_HEADER, MAX_HEADERS = 16 << 10, 16 << 20
"""Bytes of the header of a page, and of all of a file: they are read in Python, 6 MB a second."""
_GROUPS, _COLUMNS, _META = 4, 1, 3
"""Fields of a footer: its groups of rows, the columns of one, and what one says of itself."""
_CODEC, _DECODED, _ENCODED, _DATA, _DICTIONARY = 4, 6, 7, 9, 11
"""Fields of that."""
_SIZE, _STORED, _KINDS = 2, 3, {5: 2, 7: 2, 8: 4}
"""Fields of a header: sizes of its page, decompressed and stored, and those that hold the header of its kind (data,
dictionary, data of version 2), each with the field in which that one holds the encoding."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a footer says of a column in one group of rows.

    Attributes:
        compression: Its name, or number where it has none.
        decoded: Bytes of all pages with their headers, once they are decompressed.
        start: Where its first page begins.
        end: Where the last ends.
    """

    compression: str
    decoded: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    """What the header of a page says.

    Attributes:
        size: Bytes once it is decompressed.
        stored: Bytes that follow its header.
        encoding: Number of the encoding of its values.
    """

    size: int
    stored: int
    encoding: int


def check_apart(chunks: Sequence[Chunk]) -> None:
    """Check that no byte stands in two columns or groups of rows: else few bytes would be read, and decoded, often.

    Raises:
        ArtefactError: Two share some.
    """
    placed = sorted((chunk.start, chunk.end) for chunk in chunks if chunk.start < chunk.end)
    for (_, end), (start, _) in itertools.pairwise(placed):
        if start < end:
            raise ArtefactError(f"holds pages, at byte {start:,}, of two columns or groups of rows at once")


def chunks_of(content: bytes) -> list[Chunk]:
    """Return all columns of all groups of rows of a file.

    Raises:
        ArtefactError: Its footer cannot be read.
    """
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
    try:
        groups = structure(footer, 0)[0][_GROUPS]
        return [_chunk(column[_META]) for group in groups for column in group[_COLUMNS]]
    except UNREADABLE:
        raise ArtefactError("is no parquet file that can be read: its footer is none") from None


def _chunk(told: dict[int, Any]) -> Chunk:
    if type(told) is not dict:  # a list, whose places are no fields
        raise TypeError(told)
    start, dictionary = told[_DATA], told.get(_DICTIONARY, 0)
    if 0 < dictionary < start:
        start = dictionary
    codec = told[_CODEC]
    name = COMPRESSIONS[codec] if 0 <= codec < len(COMPRESSIONS) else f"codec {codec}"
    chunk = Chunk(name, told[_DECODED], start, start + told[_ENCODED])
    if not 0 <= chunk.start <= chunk.end or chunk.decoded < 0:
        raise ValueError(chunk)
    return chunk


def pages_of(content: bytes, chunks: Sequence[Chunk]) -> Iterator[Page]:
    """Yield the pages of all columns of all groups of rows, as decoders find them: each where the one before ends.

    Raises:
        ArtefactError: The header of one cannot be read, or headers take too many bytes.
    """
    headers = 0
    for chunk in chunks:
        if chunk.end > len(content):
            raise ArtefactError("claims pages beyond its end")
        start = chunk.start
        while start < chunk.end:
            page, end = _page(content, start)
            headers += end - start
            if headers > MAX_HEADERS:
                raise ArtefactError(f"has headers of pages of more than {MAX_HEADERS:,} bytes, which are not read")
            yield page
            start = end + page.stored


def _page(content: bytes, at: int) -> tuple[Page, int]:
    """Return a page and where its header ends."""
    try:
        header, length = structure(content[at : at + MAX_HEADER], 0)
        end = at + length
        kinds = [(header[kind], field) for kind, field in _KINDS.items() if kind in header]
        ((told, field),) = kinds
        page = Page(header[_SIZE], header[_STORED], told[field])
        numbers = (page.size, page.stored, page.encoding)
        if type(told) is dict and all(type(number) is int and number >= 0 for number in numbers):
            return page, end
    except UNREADABLE:
        pass
    raise ArtefactError(
        f"holds a page, at byte {at:,}, whose header cannot be read: it is none, or has more than {MAX_HEADER:,} bytes"
    )
