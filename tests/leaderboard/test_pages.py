"""Parquet files that decompress to more than they say: they are refused before anything is decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard import lists, pages
from mmrec_bench.leaderboard.lists import Kind, RowCount, read_lists
from mmrec_bench.leaderboard.pages import chunks_of, pages_of
from tests.leaderboard.spoils import varint

COLUMNS: dict[str, Kind] = {"item_id": "text", "score": "float", "shown": "bool"}
LONG = lists.MAX_TEXTS + (1 << 20)


def table(n: int = 50_000) -> pa.Table:
    rng = np.random.default_rng(0)
    ids = pa.array([f"item-{place:05d}" for place in rng.integers(0, 20_000, n)])
    return pa.table({"item_id": ids, "score": rng.random(n, np.float32), "shown": rng.random(n) < 0.5})


def with_long_texts(texts: list[str]) -> pa.Table:
    few = table(len(texts))
    return few.set_column(0, "item_id", pa.array(texts))


def written(content: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(content, target, **options)
    return target.getvalue()


def told_by_pyarrow(content: bytes) -> list[pq.ColumnChunkMetaData]:
    told = pq.ParquetFile(pa.BufferReader(content)).metadata
    return [told.row_group(g).column(c) for g in range(told.num_row_groups) for c in range(told.num_columns)]


def lying(content: bytes) -> bytes:
    """Let the footer claim that every large column takes one byte, once it is decompressed."""
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    told = content[footer:]
    for chunk in chunks_of(content):
        if chunk.decoded > 1 << 20:
            size = varint(2 * chunk.decoded)
            assert size in told
            told = told.replace(size, varint(2, len(size)))
    return content[:footer] + told


@pytest.fixture
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("was decoded")

    monkeypatch.setattr(pq.ParquetFile, "read", read)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("rows", [7000, 1 << 20])
def test_headers_of_pages_say_what_honest_footers_say(
    compression: str, version: str, dictionary: bool, rows: int
) -> None:
    options = {"compression": compression, "data_page_version": version, "use_dictionary": dictionary}
    content = written(table(), row_group_size=rows, data_page_size=1 << 14, **options)
    n_pages = 0
    for chunk, told in zip(chunks_of(content), told_by_pyarrow(content), strict=True):
        first = told.dictionary_page_offset if told.has_dictionary_page else told.data_page_offset
        assert (chunk.start, chunk.end - chunk.start) == (first, told.total_compressed_size)
        assert (chunk.decoded, chunk.compression) == (told.total_uncompressed_size, told.compression)
        found = list(pages_of(content, [chunk]))
        headers = chunk.end - chunk.start - sum(page.stored for page in found)
        assert sum(page.size for page in found) + headers == chunk.decoded
        n_pages += len(found)
    assert n_pages > 3
    assert read_lists(content, COLUMNS, RowCount()).n == 50_000


@pytest.mark.usefixtures("nothing_decoded")
@pytest.mark.parametrize("texts", [["x" * LONG], ["x" * (LONG // 2), "y" * (LONG // 2)]])
@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_what_a_footer_hides_is_found_in_the_pages(texts: list[str], compression: str, dictionary: bool) -> None:
    content = lying(written(with_long_texts(texts), compression=compression, use_dictionary=dictionary))
    assert sum(chunk.decoded for chunk in chunks_of(content)) < 1 << 20
    with pytest.raises(ArtefactError, match=r"more bytes of texts and numbers than 67,\d{3},\d{3}, which its rows may"):
        read_lists(content, COLUMNS, RowCount())


@pytest.mark.usefixtures("nothing_decoded")
def test_texts_that_are_told_by_the_one_before_are_not_read() -> None:
    options = {"use_dictionary": False, "column_encoding": {"item_id": "DELTA_BYTE_ARRAY"}}
    with pytest.raises(ArtefactError, match="holds a page of encoding 7; allowed are PLAIN, "):
        read_lists(written(with_long_texts(["x" * 1000] * 1000), **options), COLUMNS, RowCount())


@pytest.mark.usefixtures("nothing_decoded")
def test_many_pages_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_PAGES", 20)
    with pytest.raises(ArtefactError, match="has more than 20 pages"):
        read_lists(written(table(), row_group_size=5000), COLUMNS, RowCount())


def test_large_footers_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("was parsed")

    monkeypatch.setattr(pq, "ParquetFile", parsed)
    content = b"PAR1" + bytes(5 << 20) + (5 << 20).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(ArtefactError, match=r"its footer has 5,242,880 bytes, over 4,194,304"):
        read_lists(content, COLUMNS, RowCount())


HEADER = bytes.fromhex("15 00 15 10 15 10 2c 15 02 15 00 15 00 15 00 00 00")
"""A data page of 8 bytes: kind, sizes, then values, encoding, and the encodings of levels."""


@pytest.mark.usefixtures("nothing_decoded")
@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("15 10 05 04 10 15 10")),  # a size given twice
        HEADER.replace(
            bytes.fromhex("15 10 15 10"), bytes.fromhex("05 84 80 08 10 15 10")
        ),  # field 2, and 16 bits more
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("15 90 80 80 80 10 15 10")),  # a size of 33 bits
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("15 11 15 10")),  # a size below nothing
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("15 10 15 11")),  # which would lead back
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("17 10 15 10")),  # a size that is no whole number
        HEADER.replace(bytes.fromhex("15 10 15 10"), bytes.fromhex("1c 00 15 10")),  # or a structure
        HEADER.replace(b"\x2c", b"\x1c"),  # no header of its kind
        HEADER.replace(b"\x2c", b"\x29", 1)[:7] + bytes.fromhex("35 02 00 00 00"),  # a list in place of it
        b"\x1c" * 5000,
        b"\x15" + b"\xff" * 5000,
    ],
)
def test_headers_that_decoders_could_read_in_another_way_are_refused(header: bytes) -> None:
    content = written(with_long_texts(["x", "y"]), compression="none", use_dictionary=False)
    first = chunks_of(content)[0]
    assert next(pages_of(content[:4] + HEADER + content[4 + len(HEADER) :], [first])).size == 8
    changed = content[:4] + header + content[4 + len(header) :]
    with pytest.raises(ArtefactError, match=r"at byte 4, whose header cannot be read"):
        list(pages_of(changed, [first]))


def test_pages_beyond_the_end_are_refused() -> None:
    content = written(table(100), compression="none")
    last = chunks_of(content)[-1]
    with pytest.raises(ArtefactError, match="claims pages beyond its end"):
        list(pages_of(content[: last.start + 5], [last]))


def with_list(n: int) -> bytes:
    """Return a header that holds a list of truth values in a field that nobody knows."""
    return HEADER[:-1] + bytes.fromhex("49 f1") + varint(n) + b"\x01" * n + b"\x00"


@pytest.mark.usefixtures("nothing_decoded")
def test_long_headers_are_not_read() -> None:
    content = written(with_long_texts(["x" * 50_000, "y"]), compression="none", use_dictionary=False)
    first = chunks_of(content)[0]
    for n, outcome in ((10_000, "read"), (20_000, "refused")):
        header = with_list(n)
        changed = content[:4] + header + content[4 + len(header) :]
        if outcome == "read":
            assert next(pages_of(changed, [first])).size == 8
        else:
            with pytest.raises(ArtefactError, match=r"at byte 4, whose header cannot be read: .* more than 16,384 by"):
                read_lists(changed, COLUMNS, RowCount())


@pytest.mark.usefixtures("nothing_decoded")
def test_many_bytes_of_headers_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_HEADERS", 500)
    with pytest.raises(ArtefactError, match="has headers of pages of more than 500 bytes"):
        read_lists(written(table(), row_group_size=5000), COLUMNS, RowCount())


def test_bytes_that_are_handed_in_for_two_groups_of_rows_are_refused() -> None:
    content = written(table(), row_group_size=5000, compression="none", use_dictionary=False)
    starts = [told.data_page_offset for told in told_by_pyarrow(content) if told.path_in_schema == "score"]
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    first, second = varint(2 * starts[3]), varint(2 * starts[4])
    assert len(first) == len(second)
    forged = content[:footer] + content[footer:].replace(second, first)
    assert pq.ParquetFile(pa.BufferReader(forged)).read(["score"]).num_rows == 50_000  # decoders mind nothing
    with pytest.raises(ArtefactError, match=r"holds pages, at byte [\d,]+, of two columns or groups of rows at once"):
        read_lists(forged, COLUMNS, RowCount())
