"""How large parquet pages are, by the headers that decoders go by: the footer of a file may say anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from mmrec_bench.errors import ArtefactError

ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}
"""Encodings whose values take no more than a page has; those that tell a text by the one before can take endlessly."""
_SIZE, _STORED, _KINDS = 2, 3, {5: 2, 7: 2, 8: 4}
"""Fields of a header: sizes of its page, decompressed and stored, and those that hold the header of its kind (data,
dictionary, data of version 2), each with the field in which that one holds the encoding."""
_TRUE, _FALSE, _WHOLE, _BYTES, _STRUCT = 1, 2, {5: 32, 6: 64}, 8, 12
"""Types of Thrift's compact protocol that headers of pages are made of; whole numbers with their bits."""
_MAX_FIELD, _MAX_DEPTH = 15, 3


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


def pages_of(content: bytes, chunk: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """Yield the pages of a column in one group of rows, as decoders find them: each where the one before ends.

    Raises:
        ArtefactError: The header of one cannot be read.
    """
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    end = start + chunk.total_compressed_size
    if not 0 <= start <= end <= len(content):
        raise ArtefactError("claims pages beyond its end")
    while start < end:
        page, start = _page(content, start)
        yield page
        start += page.stored


def _page(content: bytes, at: int) -> tuple[Page, int]:
    """Return a page and where its header ends."""
    try:
        header, end = _struct(content, at, 0)
        kinds = [(header[kind], field) for kind, field in _KINDS.items() if kind in header]
        ((told, field),) = kinds
        page = Page(header[_SIZE], header[_STORED], told[field])
        if all(type(number) is int and number >= 0 for number in (page.size, page.stored, page.encoding)):
            return page, end
    except (IndexError, KeyError, TypeError, ValueError):
        pass
    raise ArtefactError(f"holds a page, at byte {at:,}, whose header cannot be read")


def _struct(content: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a Thrift structure, texts as None, and where it ends.

    What writers of pages have no use for is an error, so that no decoder can read the same bytes in another way: fields
    given twice, numbers that lose bits, types of other structures.
    """
    found: dict[int, Any] = {}
    field = 0
    while head := content[at]:
        at, kind = at + 1, head & 15
        if head >> 4:
            field += head >> 4
        else:
            field, at = _whole(content, at, 16)
        value: Any = None
        if kind in _WHOLE:
            value, at = _whole(content, at, _WHOLE[kind])
        elif kind == _BYTES:
            length, at = _number(content, at)
            at += length
        elif kind == _STRUCT and depth < _MAX_DEPTH:
            value, at = _struct(content, at, depth + 1)
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(kind)
        if field in found or not 0 < field <= _MAX_FIELD:
            raise ValueError(field)
        found[field] = value
    return found, at + 1


def _whole(content: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return a number with its sign, which is its last bit, and where it ends."""
    number, at = _number(content, at)
    if number >> bits:
        raise ValueError(number)
    return (number >> 1) ^ -(number & 1), at


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits in each byte, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        number |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return number, at
    raise ValueError(number)
