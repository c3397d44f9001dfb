"""The steps from rows to the k-core, by duckdb: row numbers for ids, threshold, repeats, and dropping again and again.

Users and items are numbered while steps are made, in an order of no meaning; `finish` gives them that of their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from mmrec_bench.data.kcore import Step, fixpoint, nothing_left, rows_kept
from mmrec_bench.data.raw.store import Store
from mmrec_bench.data.tasks import Here
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import FloatArray, IntArray

Repeats: TypeAlias = Literal["first", "last"]
"""Which row of a repeated pair is kept, by time, and among equal times by its place in the files."""


class Stage(BaseConfig):
    """What is left after a step."""

    step: str
    """Name of the step."""
    rows: NonNegativeInt
    """Number of rows."""
    users: NonNegativeInt
    """Number of users with a row."""
    items: NonNegativeInt
    """Number of items with a row."""


def to_pairs(store: Store, min_rating: float | None, repeats: Repeats) -> Iterator[str]:
    """Make ``edges`` of ``rows``, one row a pair; yield the name of each step when it is done."""
    number_ids(store)
    yield "read"
    if min_rating is not None:
        store.run("DELETE FROM edges WHERE rating < CAST(? AS FLOAT)", [min_rating])  # as ratings are kept
        yield f"rating of {min_rating:g} or more"
    _merge_repeats(store, repeats)
    yield f"{repeats} row of each pair"


def number_ids(store: Store) -> None:
    """Make ``edges`` of ``rows``: the same with row numbers instead of ids, which ``users`` and ``items`` list."""
    for name in ("user", "item"):
        distinct = f"SELECT DISTINCT {name} AS id FROM rows"
        store.run(
            f"CREATE TABLE {name}s AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS code, id FROM ({distinct})"
        )
    store.run(
        "CREATE TABLE edges AS SELECT users.code AS u, items.code AS i, rating, time, part, file, line FROM rows "
        "JOIN users ON users.id = rows.user JOIN items ON items.id = rows.item"
    )
    store.run("DROP TABLE rows")


def stage(store: Store, name: str) -> Stage:
    """Return how much is left."""
    n_rows, n_users, n_items = (
        store.number(sql)
        for sql in (
            "SELECT count(*) FROM edges",
            "SELECT count(*) FROM (SELECT DISTINCT u FROM edges)",
            "SELECT count(*) FROM (SELECT DISTINCT i FROM edges)",
        )
    )
    return Stage(step=name, rows=n_rows, users=n_users, items=n_items)


def _merge_repeats(store: Store, keep: Repeats) -> None:
    store.run("CREATE TABLE twice AS SELECT u, i FROM edges GROUP BY u, i HAVING count(*) > 1")
    order = "time, file, line" if keep == "first" else "time DESC, file DESC, line DESC"
    place = f"row_number() OVER (PARTITION BY u, i ORDER BY {order})"
    repeats = f"SELECT edges.rowid AS r, {place} AS place FROM edges JOIN twice USING (u, i)"
    store.run(f"DELETE FROM edges WHERE rowid IN (SELECT r FROM ({repeats}) WHERE place > 1)")
    store.run("DROP TABLE twice")


def keep_core(store: Store, user_rows: int, item_rows: int, held_rows: int) -> list[Stage]:
    """Drop users and items with too few rows until none is left that has too few.

    The same as `kcore.k_core`, step by step, of rows that need not fit into memory: rounds are made on disk until what
    is left fits.

    Args:
        store: The store, with ``edges``.
        user_rows: Rows a user needs.
        item_rows: Rows an item needs.
        held_rows: Rows whose users and items may be held in memory, about 40 bytes each.

    Raises:
        DataError: Nothing is left.
    """
    steps: list[Step] = []
    store.run("CREATE TABLE pairs AS SELECT u, i FROM edges")
    while store.number("SELECT count(*) FROM pairs") > held_rows:
        for name in "ui":
            store.run(f"CREATE OR REPLACE TABLE of_{name} AS SELECT {name}, count(*) AS n FROM pairs GROUP BY {name}")
        ((rows, users),) = store.run("SELECT coalesce(sum(n), 0), count(*) FROM of_u")
        steps.append(Step(int(rows), users, store.number("SELECT count(*) FROM of_i")))
        if len(steps) > 1 and steps[-1] == steps[-2]:
            break
        store.run(
            "CREATE TABLE left_over AS SELECT * FROM pairs "
            "WHERE u IN (SELECT u FROM of_u WHERE n >= ?) AND i IN (SELECT i FROM of_i WHERE n >= ?)",
            [user_rows, item_rows],
        )
        _replace(store, "pairs")
    else:
        if not store.number("SELECT count(*) FROM pairs"):
            raise nothing_left([*steps, Step(0, 0, 0)], user_rows, item_rows)
        steps += _core_in_memory(store, user_rows, item_rows)
    store.run("CREATE TABLE left_over AS SELECT edges.* FROM edges SEMI JOIN pairs USING (u, i)")
    _replace(store, "edges")
    return rounds(steps, user_rows, item_rows)


def _core_in_memory(store: Store, user_rows: int, item_rows: int) -> list[Step]:
    """Leave the core in ``pairs``, all of which fit into memory."""
    pairs = store.table("SELECT u, i FROM pairs")
    codes = pairs["u"].to_numpy(), pairs["i"].to_numpy()
    sizes = [int(column.max()) + 1 for column in codes]
    keep_users, keep_items, steps = fixpoint(Here(), [codes], sizes[0], sizes[1], user_rows, item_rows)
    left = pairs.filter(pa.array(rows_kept(codes, keep_users, keep_items)))
    store.feed(iter(left.to_batches()), left.schema, "CREATE TABLE left_over AS SELECT * FROM source")
    _replace(store, "pairs")
    return list(steps)


def _replace(store: Store, table: str) -> None:
    """Put ``left_over`` in the place of a table."""
    store.run(f"DROP TABLE {table}")
    store.run(f"ALTER TABLE left_over RENAME TO {table}")


@dataclass(frozen=True, slots=True)
class Core:
    """The rows that are left, with users and items numbered in the order of their ids as text.

    Attributes:
        users: int32 ``[E]``, ascending.
        items: int32 ``[E]``, ascending within a user.
        ratings: float32 ``[E]``, where the files tell them.
        times: Seconds UTC, int64 ``[E]``, where the files tell them.
        parts: Delivered part of each row, int8 ``[E]``, where the files tell it.
        user_ids: Arrow array of text ``[n_users]``.
        item_ids: Arrow array of text ``[n_items]``.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: FloatArray | None
    times: IntArray | None
    parts: NDArray[np.int8] | None
    user_ids: Any
    item_ids: Any


def finish(store: Store) -> Core:
    """Return the rows that are left."""
    ids = {}
    for name, column in (("users", "u"), ("items", "i")):
        left = f"SELECT code, id FROM {name} WHERE code IN (SELECT DISTINCT {column} FROM edges)"
        place = "CAST(row_number() OVER (ORDER BY id) - 1 AS INTEGER)"
        store.run(f"CREATE TABLE kept_{name} AS SELECT code, {place} AS row, id FROM ({left})")
        ids[name] = store.table(f"SELECT id FROM kept_{name} ORDER BY row")["id"].combine_chunks()
    found = store.table(
        "SELECT kept_users.row AS u, kept_items.row AS i, rating, time, part FROM edges "
        "JOIN kept_users ON kept_users.code = edges.u JOIN kept_items ON kept_items.code = edges.i ORDER BY 1, 2"
    )
    store.run("DROP TABLE edges")
    columns = {name: None if found[name].null_count else found[name].to_numpy() for name in found.column_names}
    users, items = columns["u"], columns["i"]
    assert users is not None
    assert items is not None
    return Core(users, items, columns["rating"], columns["time"], columns["part"], ids["users"], ids["items"])


def rounds(steps: Sequence[Step], user_rows: int, item_rows: int) -> list[Stage]:
    """Return the rounds of a k-core; what was there before the first is another step's."""
    return [
        Stage(step=f"{user_rows} a user, {item_rows} an item: round {n}", rows=s.rows, users=s.users, items=s.items)
        for n, s in enumerate(steps[1:], 1)
    ]
