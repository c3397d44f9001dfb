"""Preparing by tasks over shards of rows, against preparing in one place; tests of readers compare every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.data.raw import lines
from mmrec_bench.data.tasks import Here
from mmrec_bench.errors import DataError
from tests.data.preparing.small import BUILD, card_of, files, left_behind, reviews, write


class Plain(Here):
    """Makes calls here, and takes nothing but what may travel: text, whole numbers, and arrays of these."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.unheard = 0
        self.most_unheard = 0

    def put(self, value: Any) -> Any:
        check(value)
        return value

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        return self.parts(function, 1, *given)[0]

    def parts(self, function: Callable[..., Any], n: int, *given: Any) -> list[Any]:
        self.calls.append(function.__name__)
        check(given)
        made = function(*given)
        check(made)
        if function.__name__ == "read":
            self.unheard += 1
            self.most_unheard = max(self.most_unheard, self.unheard)
        return [made] if n == 1 else list(made)

    def get(self, held: Any) -> list[Any]:
        if self.unheard and isinstance(held[0], str):
            self.unheard -= 1
        return list(held)


def check(value: Any) -> None:
    if isinstance(value, tuple):
        for one in value:
            check(one)
    elif isinstance(value, np.ndarray):
        assert value.dtype.kind in "biuU"
    else:
        assert isinstance(value, (str, int))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few kilobytes, so that a file is cut into many."""
    monkeypatch.setattr(lines, "BATCH", 3 << 10)
    monkeypatch.setattr("mmrec_bench.data.raw.files.BLOCK", 3 << 10)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("n_shards", "keep"), [(1, "first"), (3, "last"), (100, "first")])
def test_it_makes_the_same_bytes_in_any_number_of_shards(tmp_path: Path, n_shards: int, keep: str) -> None:
    """Lines of a pair lie in several blocks, and 100 shards are more than there are users."""
    card = card_of(BUILD | {"repeats": keep})
    raw = write(tmp_path / "raw", [*reviews(), {"reviewerID": "", "asin": "1"}, *reviews(1, 200)])
    alone = prepare(card, raw, tmp_path / "a")
    tasks = Plain()
    told: list[str] = []
    means = Means(256, tasks=tasks, n_shards=n_shards)
    shared = prepare(card, raw, tmp_path / "b", means, watch=told.append)
    assert files(shared.folder) == files(alone.folder)
    assert [problem.kind for problem in shared.built.problems] == ["user"]
    assert tasks.calls.count("read") > 20
    assert {name: tasks.calls.count(name) for name in ("merged", "coded", "kept")} == dict.fromkeys(
        ("merged", "coded", "kept"), n_shards
    )
    assert tasks.most_unheard <= 3, "files are read no faster than tasks take them up"
    n_steps = len(alone.built.steps)
    assert n_steps > 4
    assert sum(": " in line for line in told) >= n_steps
    assert left_behind(tmp_path / "b") == left_behind(tmp_path / "a"), "nothing else is left"


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        ({"min_rating": 9}, None),
        ({"k_core": {"user_rows": 500, "item_rows": 4}}, None),
        ({}, []),
        ({}, [{"reviewerID": "u"}]),
    ],
)
def test_where_nothing_is_left_the_error_is_the_same(
    tmp_path: Path, build: dict[str, Any], rows: list[dict[str, Any]] | None
) -> None:
    card = card_of(BUILD | build, provenance={"filter": (BUILD | build)["k_core"]})
    raw = write(tmp_path / "raw", rows)
    errors = []
    for means in (Means(), Means(tasks=Here(), n_shards=4)):
        with pytest.raises(DataError) as found:
            prepare(card, raw, tmp_path / "data", means)
        errors.append(str(found.value))
        assert left_behind(tmp_path / "data") == []
    assert errors[0] == errors[1]


def test_without_a_core_every_pair_is_kept(tmp_path: Path) -> None:
    build = {"reader": "amazon-2014", "reviews": "reviews.json.gz"}
    raw = write(tmp_path / "raw")
    alone = prepare(card_of(build), raw, tmp_path / "a")
    shared = prepare(card_of(build), raw, tmp_path / "b", Means(tasks=Here(), n_shards=2))
    assert files(shared.folder) == files(alone.folder)
    assert [stage.step for stage in shared.built.steps] == ["read", "first row of each pair"]
