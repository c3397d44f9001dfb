"""Steps by duckdb against those in memory and a slow reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmrec_bench.data.kcore import k_core
from mmrec_bench.data.preparing import steps
from mmrec_bench.data.raw import rows
from mmrec_bench.data.raw.store import Store
from mmrec_bench.errors import DataError


def filled(store: Store, seed: int, n: int = 1500) -> list[tuple[str, str]]:
    """Put unique pairs into ``edges`` and return them."""
    rng = np.random.default_rng(seed)
    pairs = sorted({(f"u{u}", f"i{i}") for u, i in zip(rng.zipf(1.5, n) % 90, rng.zipf(1.4, n) % 70, strict=True)})
    rows.create(store)
    users, items = zip(*pairs, strict=True)
    none = {"rating": pa.nulls(len(pairs), pa.float32()), "time": pa.nulls(len(pairs), pa.int64())}
    place = {"file": np.zeros(len(pairs), np.int16), "line": np.arange(len(pairs))}
    table = {**place, "user": list(users), "item": list(items), **none, "part": pa.nulls(len(pairs), pa.int8())}
    rows.add_known(store, pa.table(table))
    steps.number_ids(store)
    return pairs


@pytest.mark.parametrize("held_rows", [0, 260, 330, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_the_k_core_on_disk_and_in_memory_is_that_of_arrays(tmp_path: Path, seed: int, held_rows: int) -> None:
    with Store(tmp_path, 256, 1) as store:
        pairs = filled(store, seed)
        users, items = (np.array(side) for side in zip(*pairs, strict=True))
        expected = k_core([(users, items)], 4, 6)
        assert 200 < len(expected.users) < len(pairs)
        told = steps.keep_core(store, 4, 6, held_rows)
        assert [(stage.rows, stage.users, stage.items) for stage in told] == [
            (step.rows, step.users, step.items) for step in expected.steps[1:]
        ]
        assert len(told) > 2
        core = steps.finish(store)
    left = core.user_ids.take(pa.array(core.users)), core.item_ids.take(pa.array(core.items))
    found = zip(*(side.to_pylist() for side in left), strict=True)
    assert list(found) == [pair for pair, kept in zip(pairs, expected.kept, strict=True) if kept], "sorted as text"
    assert (core.ratings, core.times, core.parts) == (None, None, None)


@pytest.mark.parametrize("held_rows", [0, 10_000])
def test_a_core_of_nothing_is_told_alike(tmp_path: Path, held_rows: int) -> None:
    with Store(tmp_path, 256, 1) as store:
        pairs = filled(store, 0)
        users, items = (np.array(side) for side in zip(*pairs, strict=True))
        with pytest.raises(DataError) as there:
            k_core([(users, items)], 60, 60)
        with pytest.raises(DataError) as here:
            steps.keep_core(store, 60, 60, held_rows)
    assert str(here.value) == str(there.value)
