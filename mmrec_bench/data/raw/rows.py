"""Rows of users and items from raw files into a table ``rows``, with what is wrong noted row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import pyarrow as pa

from mmrec_bench.data.formats.external import MAX_ID
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.lines import LINES, Lines
from mmrec_bench.data.raw.loose import strict_json
from mmrec_bench.data.raw.parquet import parquet_columns
from mmrec_bench.data.raw.problems import Problems
from mmrec_bench.data.raw.store import Store

LATEST = 10**11
"""The year 5138; a larger number of seconds is a number of milliseconds."""

FILLED = "text NOT IN ('', chr(10), chr(13), chr(13) || chr(10))"
"""Condition of lines that are not blank."""

KNOWN = "file, line, user, item, rating, time, part"
"""Columns of rows in which nothing is wrong."""

_ODD_ROWS = 2048
"""Lines of loose JSON taken up at a time."""

NAMES: dict[str, tuple[str, ...]] = {
    "rating": ("rating", "ratings", "score", "stars", "overall", "value", "preference"),
    "time": ("time", "timestamp", "timestamps", "date", "datetime", "unixtime", "unixreviewtime"),
}
"""What headers call the columns of numbers, by their letters in lower case."""

Column: TypeAlias = Literal["user", "item", "rating", "time", "skip"]
"""What a column of delimited text holds."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a review calls user, item, rating and time.

    Attributes:
        user: Key of the user's id.
        item: Key of the item's id.
        rating: Key of the rating.
        time: Key of the moment.
        per_second: Units of time in a second.
    """

    user: str
    item: str
    rating: str
    time: str
    per_second: int = 1

    @property
    def names(self) -> tuple[str, str, str, str]:
        """The keys in the order of the columns."""
        return self.user, self.item, self.rating, self.time


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from.

    Attributes:
        number: Place of the file among all that are read; earlier files count as earlier.
        name: Its name, below the raw folder.
        problems: Takes what is wrong.
    """

    number: int
    name: str
    problems: Problems


@dataclass(frozen=True, slots=True)
class Source(Origin):
    """A raw file on its way into the store.

    Attributes:
        file: The file.
        cut_short: Whether what is whole of a damaged packed file is used.
    """

    file: RawFile
    cut_short: bool

    def lines(self) -> Lines:
        """Return the lines of the file."""
        return Lines(self.file, self.problems, self.cut_short)


class Cells(Protocol):
    """What a file holds before it is looked into: its lines, or columns of Parquet; all of them, or some."""

    @property
    def schema(self) -> Any:
        """Columns of the batches; ``line``, the number of the line or row from 1, is among them."""

    def batches(self) -> Iterator[Any]:
        """Yield record batches of the schema."""


def create(store: Store) -> None:
    """Make the empty table ``rows``."""
    store.run(
        "CREATE TABLE rows (file SMALLINT, line BIGINT, user VARCHAR, item VARCHAR, rating FLOAT, time BIGINT, "
        "part TINYINT, problem VARCHAR, odd VARCHAR)"
    )


def review_cells(source: Source, keys: Keys) -> Cells:
    """Return the lines of a file of reviews, or the columns that are read of Parquet.

    Raises:
        DataError: The file cannot be read.
    """
    return parquet_columns(source.file, keys.names) if source.file.kind == "parquet" else source.lines()


def add_reviews(store: Store, origin: Origin, cells: Cells, keys: Keys) -> None:
    """Add the reviews of lines of JSON, strict or loose, or of columns of Parquet.

    Raises:
        DataError: The cells cannot be read on, or lack a column.
    """
    if cells.schema == LINES:
        statement = _insert_json(origin, keys)
        store.feed(cells.batches(), LINES, statement)
        again(store, origin, "rows", statement)
    else:
        columns = tuple(f'"{name}"' for name in keys.names)
        store.feed(cells.batches(), cells.schema, _insert(origin, "source", columns, keys.per_second))
    count(store, origin, "rows")


def add_delimited(
    store: Store, origin: Origin, lines: Cells, columns: Sequence[Column], separator: str, per_second: int
) -> None:
    """Add the rows of delimited text; a first line that calls rating and time by a name is a header, and no row.

    Any other first line is a row, so that one whose rating or time cannot be read is counted as such.
    """
    cells = f"string_split(rtrim(text, chr(10) || chr(13)), {quoted(separator)})"
    place = {name: f"trim(cells[{number}], ' \"')" for number, name in enumerate(columns, 1)}
    relation = f"(SELECT line, {cells} AS cells FROM source WHERE {FILLED})"
    named = (f"{_letters(place[name])} IN {known}" for name, known in NAMES.items() if name in place)
    relation = f"(SELECT * FROM {relation} WHERE NOT (line = 1 AND coalesce({' AND '.join(named)}, false)))"
    wrong = f"WHEN len(cells) <> {len(columns)} THEN 'columns'"
    found = tuple(place.get(name, "NULL") for name in ("user", "item", "rating", "time"))
    store.feed(lines.batches(), LINES, _insert(origin, relation, found, per_second, wrong))
    count(store, origin, "rows")


def add_known(store: Store, rows: Any) -> None:
    """Add rows in which nothing is wrong.

    Args:
        store: The store.
        rows: Arrow table with the columns of `KNOWN`; ``rating``, ``time`` and ``part`` may be null.
    """
    store.feed(iter(rows.to_batches()), rows.schema, f"INSERT INTO rows SELECT {KNOWN}, NULL, NULL FROM source")


def again(store: Store, origin: Origin, table: str, statement: str) -> None:
    """Read lines once more that are no strict JSON, as Python literals, and run the statement that adds lines."""
    store.run(f"CREATE OR REPLACE TABLE odd AS SELECT line, odd FROM {table} WHERE odd IS NOT NULL")
    store.run(f"DELETE FROM {table} WHERE odd IS NOT NULL")
    unread: list[int] = []

    def strict() -> Iterator[Any]:
        for batch in store.batches("SELECT line, odd FROM odd ORDER BY line", _ODD_ROWS):
            numbers = batch.column(0).to_pylist()
            texts = [strict_json(text) for text in batch.column(1).to_pylist()]
            unread.extend(number for number, text in zip(numbers, texts, strict=True) if text is None)
            good = [(number, text) for number, text in zip(numbers, texts, strict=True) if text is not None]
            yield pa.record_batch([[number for number, _ in good], [text for _, text in good]], schema=LINES)

    store.feed(strict(), LINES, statement)
    store.run("DROP TABLE odd")
    if unread:
        origin.problems.add(origin.name, "not-json", unread[0], len(unread))


def count(store: Store, origin: Origin, table: str) -> None:
    """Count the problems of a file's rows, and leave these rows out."""
    told = f"FROM {table} WHERE file = {origin.number} AND problem IS NOT NULL"
    for kind, n, first in store.run(f"SELECT problem, count(*), min(line) {told} GROUP BY problem"):
        origin.problems.add(origin.name, kind, first, n)
    store.run(f"DELETE {told}")


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def json_object(paths: Sequence[str]) -> str:
    """Return a relation of ``source``: lines with ``doc`` (null where no JSON), the ``found`` texts, and ``types``."""
    listed = ", ".join(quoted(f'$."{path}"') for path in paths)
    documents = f"SELECT line, text, CASE WHEN json_valid(text) THEN text END AS doc FROM source WHERE {FILLED}"
    return (
        f"(SELECT line, text, doc, json_extract_string(doc, [{listed}]) AS found, json_type(doc, [{listed}]) AS types "
        f"FROM ({documents}))"
    )


def id_of(place: int) -> str:
    """Return the expression of an id among what `json_object` found: text or a whole number, else null."""
    return f"CASE WHEN types[{place}] IN ('VARCHAR', 'UBIGINT', 'BIGINT') THEN found[{place}] END"


NO_OBJECT = "WHEN json_type(doc) <> 'OBJECT' THEN 'not-an-object'"
"""The first thing that may be wrong with JSON."""


def bad_id(name: str) -> str:
    """Return the case of an id that is missing, empty or too long."""
    return f"WHEN {name} IS NULL OR length({name}) NOT BETWEEN 1 AND {MAX_ID} THEN {quoted(name)}"


def _letters(cell: str) -> str:
    return f"lower(regexp_replace({cell}, '[^A-Za-z]', '', 'g'))"


def _insert_json(origin: Origin, keys: Keys) -> str:
    cells = (id_of(1), id_of(2), "found[3]", "found[4]")
    return _insert(
        origin, json_object(keys.names), cells, keys.per_second, NO_OBJECT, "CASE WHEN doc IS NULL THEN text END"
    )


def _insert(
    origin: Origin, relation: str, cells: Sequence[str], per_second: int, wrong: str = "", odd: str = "NULL"
) -> str:
    """Return the statement that adds rows, with the first thing that is wrong with each.

    Args:
        origin: The file.
        relation: What the cells are expressions of.
        cells: User, item, rating and time as text; ``NULL`` for a rating or time that the file does not tell.
        per_second: Units of time in a second.
        wrong: Cases that come before those of the cells.
        odd: Text of lines to read once more.
    """
    user, item, rating, time = cells
    flaw = f"CASE {wrong} END" if wrong else "NULL"
    no_rating = "rating IS NULL OR NOT isfinite(rating)" if rating != "NULL" else "false"
    no_time = f"time IS NULL OR time NOT BETWEEN -{LATEST} AND {LATEST}" if time != "NULL" else "false"
    return f"""
        INSERT INTO rows
        SELECT {origin.number}, line, user, item, rating, time, NULL, CASE
            WHEN odd IS NOT NULL THEN NULL
            WHEN flaw IS NOT NULL THEN flaw {bad_id("user")} {bad_id("item")}
            WHEN {no_rating} THEN 'rating' WHEN {no_time} THEN 'time' END, odd
        FROM (SELECT line, {flaw} AS flaw, {user} AS user, {item} AS item, TRY_CAST(trim({rating}) AS FLOAT) AS rating,
                     TRY_CAST(floor(TRY_CAST(trim({time}) AS DOUBLE) / {per_second}) AS BIGINT) AS time, {odd} AS odd
              FROM {relation})"""
