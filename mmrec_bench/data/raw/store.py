"""Tables on disk that duckdb works on within a limit of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmrec_bench.errors import DataError, ResourceError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store works, for what is told of its want.

    Attributes:
        prefix: What errors begin with.
        more_disk: What to do where the disk is full.
        more_memory: What to do where memory does not suffice.
    """

    prefix: str = ""
    more_disk: str = "Make room, or name another --temp folder"
    more_memory: str = "Raise --memory, or lower --threads"


class Store:
    """A database in a folder of its own; files of raw data reach it as Arrow batches alone.

    Args:
        folder: Where tables, and what does not fit into memory, are written.
        memory_mib: What duckdb may hold in memory.
        threads: How many threads it works with.
        in_memory: Whether tables are written to the folder only where memory ends; they are all there otherwise.
        place: Where this is, for errors.
    """

    def __init__(
        self, folder: Path, memory_mib: int, threads: int, *, in_memory: bool = False, place: Place = Place()
    ) -> None:
        import duckdb  # imported late: only preparing needs it

        self._errors = (duckdb.Error, OSError)
        self._place, self.memory_mib = place, memory_mib
        settings = {
            "threads": threads,
            "memory_limit": f"{memory_mib}MiB",
            "temp_directory": str(folder / "spilled"),
            "preserve_insertion_order": "false",  # lines carry their numbers
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with self._explained():
            self._connection = duckdb.connect(
                ":memory:" if in_memory else str(folder / "steps.duckdb"), config=settings
            )
            self._connection.execute("SET enable_progress_bar = false")  # it would write into our output

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        del self._connection  # tracebacks may hold this object until the interpreter ends, which duckdb complains about

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows.

        Raises:
            ResourceError: Memory or disk do not suffice.
            DataError: Whatever else duckdb cannot do.
        """
        with self._explained():
            found: list[tuple[Any, ...]] = self._connection.execute(sql, list(values)).fetchall()
        return found

    def number(self, sql: str) -> int:
        """Return the one number that a statement selects."""
        return int(self.run(sql)[0][0])

    def table(self, sql: str) -> Any:
        """Return what a statement selects as an Arrow table."""
        with self._explained():
            return self._connection.sql(sql).to_arrow_table()

    def batches(self, sql: str, rows: int) -> Iterator[Any]:
        """Yield what a statement selects, so many rows at a time at most; other statements may run meanwhile."""
        with self._explained():
            reader = self._connection.cursor().sql(sql).to_arrow_reader(rows)
        while True:
            with self._explained():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

    def feed(self, source: Iterator[Any], schema: Any, sql: str) -> None:
        """Run a statement that reads batches under the name ``source``, such as ``INSERT INTO rows SELECT ...``.

        Raises:
            BaseException: What the source raised, as it raised it.
        """
        raised: list[BaseException] = []

        def guarded() -> Iterator[Any]:
            try:
                yield from source
            except BaseException as error:  # Arrow would make another error of it
                raised.append(error)

        with self._explained():
            self._connection.register("source", pa.RecordBatchReader.from_batches(schema, guarded()))
            try:
                self._connection.execute(sql)
            finally:
                self._connection.unregister("source")
        if raised:
            raise raised[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            text = " ".join(str(error).split())[:300]
            if "No space left" in text or "could not write" in text.lower():
                raise ResourceError(
                    f"{self._place.prefix}the disk is full while data is prepared ({text}). {self._place.more_disk}"
                ) from None
            if type(error).__name__ == "OutOfMemoryException":
                raise ResourceError(
                    f"{self._place.prefix}preparing needs more than the {self.memory_mib:,} MiB it may use ({text}). "
                    f"{self._place.more_memory}"
                ) from None
            raise DataError(f"duckdb: {text}") from None
