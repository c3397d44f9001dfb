"""Metadata of items from raw files: titles, pictures and declared fields of the items that are left."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmrec_bench.data.formats.external import MAX_TITLE
from mmrec_bench.data.raw.lines import LINES
from mmrec_bench.data.raw.parquet import parquet_rows
from mmrec_bench.data.raw.problems import ProblemKind
from mmrec_bench.data.raw.rows import NO_OBJECT, Source, again, bad_id, count, id_of, json_object
from mmrec_bench.data.raw.store import Store
from mmrec_bench.data.raw.texts import MAX_TEXT, is_junk, pieces, plain_text

MAX_URL = 2048
"""Characters of an address; a longer one is taken as missing."""

_BATCH = 1024
"""Items described at a time."""


@dataclass(frozen=True, slots=True)
class ItemKeys:
    """What metadata calls an item, its title and its pictures.

    Attributes:
        item: Key of the item's id.
        title: Key of its title.
        images: Keys of its pictures, best first: an address, or a list of these, or of objects with `sizes`.
        sizes: Keys of addresses in such objects, best first.
    """

    item: str
    title: str
    images: tuple[str, ...]
    sizes: tuple[str, ...] = ()


def create(store: Store, item_ids: Any) -> None:
    """Make the table ``wanted`` of the items to describe, in their order, and the empty table ``described``.

    Args:
        store: The store.
        item_ids: External ids, Arrow array of text ``[n_items]``.
    """
    schema = pa.schema([("row", pa.int64()), ("id", pa.string())])
    batch = pa.record_batch([pa.array(range(len(item_ids)), pa.int64()), item_ids], schema=schema)
    store.feed(iter([batch]), schema, "CREATE TABLE wanted AS SELECT * FROM source")
    store.run(
        "CREATE TABLE described (file SMALLINT, line BIGINT, item VARCHAR, problem VARCHAR, odd VARCHAR, doc VARCHAR)"
    )


def add_metadata(store: Store, source: Source, keys: ItemKeys, fields: Sequence[str]) -> None:
    """Add what a file of JSON lines, strict or loose, or of Parquet says of the wanted items.

    Raises:
        DataError: The file cannot be read.
    """
    statement = f"""
        INSERT INTO described
        SELECT {source.number}, line, item, problem, odd, CASE WHEN odd IS NULL AND problem IS NULL THEN doc END
        FROM (SELECT *, CASE WHEN odd IS NOT NULL THEN NULL {NO_OBJECT} {bad_id("item")} END AS problem
              FROM (SELECT *, {id_of(1)} AS item, CASE WHEN doc IS NULL THEN text END AS odd
                    FROM {json_object([keys.item])}))
        WHERE odd IS NOT NULL OR problem IS NOT NULL OR item IN (SELECT id FROM wanted)"""
    if source.file.kind == "parquet":
        names = (keys.item, keys.title, *keys.images, *fields)
        store.feed(parquet_rows(source.file, names), LINES, statement)
    else:
        store.feed(source.lines().batches(), LINES, statement)
        again(store, source, "described", statement)
    count(store, source, "described")
    place = "row_number() OVER (PARTITION BY item ORDER BY line)"
    repeated = f"SELECT line, {place} AS n FROM described WHERE file = {source.number}"
    ((n, first),) = store.run(f"SELECT count(*), coalesce(min(line), 0) FROM ({repeated}) WHERE n > 1")
    source.problems.add(source.name, "repeated-item", first, n)


def items_schema(fields: Sequence[str]) -> Any:
    """Return the columns of ``items.parquet``: every declared field is a list of texts, null where there is none."""
    columns = [("item_id", pa.string()), ("title", pa.string()), ("image_url", pa.string())]
    return pa.schema([*columns, *((field, pa.list_(pa.string())) for field in fields)])


@dataclass(frozen=True, slots=True)
class Items:
    """Batches of described items, in their order.

    Attributes:
        store: Holds the tables of `create`.
        sources: The files of metadata; where problems are noted.
        keys: What is called how.
        fields: Keys that are kept besides titles and pictures.
    """

    store: Store
    sources: Sequence[Source]
    keys: ItemKeys
    fields: tuple[str, ...]

    @property
    def schema(self) -> Any:
        """Columns of the batches."""
        return items_schema(self.fields)

    def batches(self) -> Iterator[Any]:
        """Yield record batches of the schema."""
        place = "row_number() OVER (PARTITION BY item ORDER BY file, line)"
        first = f"SELECT item, file, line, doc FROM described QUALIFY {place} = 1"
        ordered = f"SELECT id, file, line, doc FROM wanted LEFT JOIN ({first}) ON item = id ORDER BY row"
        for batch in self.store.batches(ordered, _BATCH):
            rows = [self._row(*row.values()) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=self.schema)

    def _row(self, item: str, file: int | None, line: int, doc: str | None) -> dict[str, Any]:
        if doc is None or file is None:
            return {"item_id": item}
        source = next(source for source in self.sources if source.number == file)

        def note(kind: ProblemKind) -> None:
            source.problems.add(source.name, kind, line)

        try:
            record = json.loads(doc)
        except (ValueError, RecursionError):  # numbers of thousands of digits, or lists in lists in lists
            note("not-json")
            return {"item_id": item}
        row: dict[str, Any] = {"item_id": item, "title": self._title(record, note), "image_url": self._image(record)}
        for field in self.fields:
            found = pieces(record.get(field))
            if found is None:
                note("text-type")
            elif sum(map(len, found)) > MAX_TEXT:
                note("text-cut")
                found = _cut(found)
            row[field] = found or None
        return row

    def _title(self, record: dict[str, Any], note: Any) -> str | None:
        value = record.get(self.keys.title)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            note("title-type")
            return None
        if value is not None and is_junk(value):
            note("title-junk")
            return None
        return plain_text(value)[:MAX_TITLE] or None if value else None

    def _image(self, record: dict[str, Any]) -> str | None:
        for key in self.keys.images:
            for url in _urls(record.get(key), self.keys.sizes):
                if url.startswith(("http://", "https://")) and len(url) <= MAX_URL:
                    return url
        return None


def _urls(value: Any, sizes: Sequence[str]) -> Iterator[str]:
    """Yield addresses in what metadata holds of pictures: a text, a list, objects of sizes, or an object of lists."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        for entry in value:
            if not isinstance(entry, list):
                yield from _urls(entry, sizes)
    elif isinstance(value, dict):
        for size in sizes:
            entries = value.get(size)
            for entry in entries if isinstance(entries, list) else [entries]:
                if isinstance(entry, str):
                    yield entry.strip()


def _cut(texts: list[str]) -> list[str]:
    """Return as much of texts as `MAX_TEXT` characters hold."""
    kept: list[str] = []
    left = MAX_TEXT
    for text in texts:
        if left > 0:
            kept.append(text[:left])
            left -= len(text)
    return kept
