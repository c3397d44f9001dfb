"""Preparing by tasks over shards of rows: the steps of `steps`, where the tasks are made, and the same rows left.

Here files are cut into lines, which are dealt out as they are read. A task reads some of them and parts the rows by
user, so that all rows of a user, and with them all of a pair, are in one shard; the threshold, repeated pairs and the
rounds of the k-core are tasks of a shard each. What comes back are counts, ids of items, and the rows that are left.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter

import mmrec_bench.data.formats.prepared  # noqa: F401 (registers all recipes, for tasks that start with this module)
from mmrec_bench.data.kcore import Codes, fixpoint, rows_kept
from mmrec_bench.data.preparing import steps
from mmrec_bench.data.preparing.reading import Reading
from mmrec_bench.data.preparing.recipes import AnyRecipe, CoreBounds, FileRecipe, Recipe
from mmrec_bench.data.preparing.steps import Stage
from mmrec_bench.data.raw import rows
from mmrec_bench.data.raw.problems import Problem, Problems
from mmrec_bench.data.raw.rows import Origin
from mmrec_bench.data.raw.store import Place, Store
from mmrec_bench.data.tasks import Tasks
from mmrec_bench.types import BoolArray

Packed: TypeAlias = NDArray[np.uint8]
"""An Arrow table as the bytes of an IPC stream."""

_DEALT = 1 << 18
"""Rows dealt out at a time that another reader has read."""

_RECIPE: TypeAdapter[Recipe] = TypeAdapter(AnyRecipe)


def rows_left(
    recipe: Recipe,
    reading: Reading,
    tasks: Tasks,
    n_shards: int,
    memory_mib: int,
    watch: Callable[[str], None],
    done: Callable[[Stage], None],
) -> None:
    """Leave in the store ``edges``, ``users`` and ``items`` of the rows that the recipe keeps.

    Args:
        recipe: What is kept.
        reading: The store, and the files.
        tasks: Makes the calls.
        n_shards: Shards that rows are parted into, by user.
        memory_mib: Memory of duckdb in each task.
        watch: Is told how far reading is.
        done: Is told what each step left; may raise.

    Raises:
        DataError: A file cannot be read, or nothing is left in the k-core.
    """
    order = {"recipe": recipe.model_dump(mode="json"), "n_shards": n_shards, "memory_mib": memory_mib}
    told = tasks.put(json.dumps(order))
    held = _pairs(recipe, tasks, told, _dealt(recipe, reading, tasks, n_shards, told, watch), done)
    store = reading.store
    rows.create(store)
    while held:  # a shard that has come is held no longer
        rows.add_known(store, _table(*tasks.get([held.pop()])))
    steps.number_ids(store)


def _pairs(recipe: Recipe, tasks: Tasks, told: Any, parts: list[list[Any]], done: Callable[[Stage], None]) -> list[Any]:
    """Make the steps of all shards; return the rows that are left, held."""
    held, facts, ids = zip(*[tasks.parts(merged, 3, told, *parts.pop()) for _ in range(len(parts))], strict=True)
    sizes = [json.loads(text) for text in tasks.get(facts)]
    items = _item_ids(tasks.get(ids))
    for number, of_shards in enumerate(zip(*sizes, strict=True)):
        name, n_rows, n_users = of_shards[0][0], *(sum(size[column] for size in of_shards) for column in (1, 2))
        n_items = int(pc.sum(pc.greater(items["n_steps"], number)).as_py() or 0)
        done(Stage(step=name, rows=n_rows, users=n_users, items=n_items))
    if recipe.k_core is None:
        return list(held)
    left = items.filter(pc.equal(items["n_steps"], len(sizes[0])))["id"]
    core, rounds = _cores(tasks, held, [size[-1][2] for size in sizes], left, recipe.k_core)
    for stage in rounds:
        done(stage)
    return core


def _dealt(
    recipe: Recipe, reading: Reading, tasks: Tasks, n_shards: int, told: Any, watch: Callable[[str], None]
) -> list[list[Any]]:
    """Have all rows read and parted; return the held parts of each shard."""
    parts: list[list[Any]] = [[] for _ in range(n_shards)]
    going: deque[Any] = deque()
    at_most = 2 * tasks.at_once  # files are read no faster than tasks take them up

    def hear(n_left: int) -> None:
        while len(going) > n_left:
            for problem in map(Problem.model_validate, json.loads(tasks.get([going.popleft()])[0])):
                reading.problems.add(problem.file, problem.kind, problem.first, problem.count)

    for call in _calls(recipe, reading):
        noted, *of_shards = tasks.parts(call.function, n_shards + 1, told, *call.given)
        for shard, part in zip(parts, of_shards, strict=True):
            shard.append(part)
        going.append(noted)
        hear(at_most)
        watch(f"reading: {len(parts[0]):,} blocks dealt out, {len(parts[0]) - len(going):,} read")
    hear(0)
    return parts


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that reads some rows, and what it is given after the order."""

    function: Callable[..., tuple[Any, ...]]
    given: tuple[Any, ...]


def _calls(recipe: Recipe, reading: Reading) -> Iterator[_Call]:
    """Yield the calls that read all rows, as the files are cut up."""
    if isinstance(recipe, FileRecipe):
        for source in reading.sources(recipe.row_files):
            for batch in recipe.cells(source).batches():
                yield _Call(read, (source.number, source.name, _packed(pa.Table.from_batches([batch]))))
    else:  # a layout, which its own format reads as a whole
        rows.create(reading.store)
        recipe.read_rows(reading)
        for batch in reading.store.batches(f"SELECT {rows.KNOWN} FROM rows", _DEALT):
            yield _Call(parted, (_packed(pa.Table.from_batches([batch])),))
        reading.store.run("DROP TABLE rows")


def _item_ids(shards: Sequence[Packed]) -> Any:
    """Return a table of the ids of all items with ``n_steps``, the most steps that any shard has them after."""
    table = pa.concat_tables([_table(shard) for shard in shards]).group_by("id").aggregate([("n_steps", "max")])
    return table.rename_columns({"n_steps_max": "n_steps"}).combine_chunks()


def _cores(
    tasks: Tasks, held: Sequence[Any], n_users: Sequence[int], items: Any, core: CoreBounds
) -> tuple[list[Any], list[Stage]]:
    """Return the rows of the core, held, and its rounds."""
    firsts = np.concatenate([[0], np.cumsum(n_users)]).tolist()  # users of a shard are in no other
    ids = tasks.put(_packed(pa.table({"id": items})))
    codes = [tasks.call(coded, one, ids, first) for one, first in zip(held, firsts[:-1], strict=True)]
    keep_users, keep_items, found = fixpoint(tasks, codes, firsts[-1], len(items), core.user_rows, core.item_rows)
    keep = [tasks.put(mask) for mask in (keep_users, keep_items)]
    left = [tasks.call(kept, one, of_one, *keep) for one, of_one in zip(held, codes, strict=True)]
    return left, steps.rounds(found, core.user_rows, core.item_rows)


def read(told: str, number: int, name: str, cells: Packed) -> tuple[Any, ...]:
    """Return what is wrong with some lines or rows of a file, as JSON, and the good ones of each shard."""
    order, problems = json.loads(told), Problems()
    recipe = _RECIPE.validate_python(order["recipe"])
    assert isinstance(recipe, FileRecipe)
    with _store(order) as store:
        recipe.add_rows(store, Origin(number, name, problems), _Some(_table(cells)))
        return json.dumps([problem.model_dump() for problem in problems]), *_parts(store, order)


def parted(told: str, good: Packed) -> tuple[Any, ...]:
    """Return that nothing is wrong, and some rows parted into shards."""
    order = json.loads(told)
    with _store(order) as store:
        rows.add_known(store, _table(good))
        return "[]", *_parts(store, order)


def _parts(store: Store, order: Any) -> list[Packed]:
    """Part rows by user."""
    n_shards = order["n_shards"]
    found = store.table(f"SELECT {rows.KNOWN}, CAST(hash(user) % {n_shards} AS INTEGER) AS shard FROM rows")
    shard = found["shard"].to_numpy()
    found = found.drop_columns("shard").take(np.argsort(shard, kind="stable"))
    ends = np.cumsum(np.bincount(shard, minlength=n_shards)).tolist()
    return [_packed(found.slice(start, end - start)) for start, end in zip([0, *ends], ends, strict=False)]


def merged(told: str, *parts: Packed) -> tuple[Packed, str, Packed]:
    """Make the steps before the k-core of a shard.

    Returns:
        The rows that are left; name, rows and users of each step, as JSON; ids of items with the number of steps they
        are left after.
    """
    order = json.loads(told)
    recipe = _RECIPE.validate_python(order["recipe"])
    with _store(order) as store:
        for part in parts:
            rows.add_known(store, _table(part))
        sizes: list[tuple[str, int, int]] = []
        n_steps = np.zeros(store.number("SELECT count(DISTINCT item) FROM rows"), np.int8)
        for name in steps.to_pairs(store, recipe.min_rating, recipe.repeats):
            left = steps.stage(store, name)
            sizes.append((name, left.rows, left.users))
            n_steps[store.table("SELECT DISTINCT i FROM edges")["i"].to_numpy()] += 1
        ids = store.table("SELECT id FROM items ORDER BY code")["id"]
        joined = "edges JOIN users ON users.code = u JOIN items ON items.code = i"
        found = store.table(f"SELECT file, line, users.id AS user, items.id AS item, rating, time, part FROM {joined}")
    return _packed(found), json.dumps(sizes), _packed(pa.table({"id": ids, "n_steps": n_steps}))


def coded(shard: Packed, item_ids: Packed, first_user: int) -> Codes:
    """Return row numbers of users, from the first one's on, and of items among the ids."""
    table = _table(shard)
    # Chunk by chunk: all ids of a large shard in one piece are more than an Arrow array of text can hold.
    users = table["user"].dictionary_encode().unify_dictionaries()
    codes = np.concatenate([np.zeros(0, np.int64), *(chunk.indices.to_numpy() for chunk in users.chunks)])
    items = pc.index_in(table["item"], value_set=_table(item_ids)["id"].combine_chunks())
    return codes + first_user, items.to_numpy().astype(np.int64)


def kept(shard: Packed, codes: Codes, keep_users: BoolArray, keep_items: BoolArray) -> Packed:
    """Return the rows whose user and item are kept."""
    return _packed(_table(shard).filter(pa.array(rows_kept(codes, keep_users, keep_items))))


@dataclass(frozen=True, slots=True)
class _Some:
    """Some cells of a file (implements `Cells`)."""

    table: Any

    @property
    def schema(self) -> Any:
        """Columns of the table."""
        return self.table.schema

    def batches(self) -> Iterator[Any]:
        """Yield the table."""
        yield from self.table.to_batches()


@contextmanager
def _store(order: Any) -> Iterator[Store]:
    """Lend a store of a task, with an empty table ``rows``.

    Raises:
        ResourceError: Memory or disk of the node do not suffice.
    """
    place = Place(
        f"node {socket.gethostname()}: ",
        "Make room in its folder for temporary files (TMPDIR)",
        "Raise --memory, or ask for more --shards",
    )
    with (
        tempfile.TemporaryDirectory(prefix="mmrec-bench-") as name,
        Store(Path(name), order["memory_mib"], 1, in_memory=True, place=place) as store,
    ):
        rows.create(store)
        yield store


def _packed(table: Any) -> Packed:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _table(packed: Packed) -> Any:
    return pa.ipc.open_stream(pa.py_buffer(packed)).read_all()
