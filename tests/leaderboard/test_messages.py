"""Messages say what is wrong: groups of rows that are too many, keys that are absent."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard import lists
from mmrec_bench.leaderboard.declared import differences, named_paths
from mmrec_bench.leaderboard.lists import RowCount, read_lists


def test_too_many_groups_of_rows_are_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_GROUPS", 2)
    table, content = pa.table({"rank": [1, 2, 3]}), io.BytesIO()
    pq.write_table(table, content, row_group_size=2)
    assert read_lists(content.getvalue(), {"rank": "int"}, RowCount.exactly(3)).n == 3
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=1)
    with pytest.raises(ArtefactError, match="has 3 groups of rows; at most 2 are read"):
        read_lists(content.getvalue(), {"rank": "int"}, RowCount.exactly(3))


def test_absent_keys_are_not_called_none() -> None:
    assert differences({"a": {"b": 1}, "c": None}, {"c": 2}) == "a.b is absent, not '1'; c is '2', not 'None'"
    assert differences({}, {"a": "x"}) == "a is 'x', not absent"


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ({"model": "somebody/minilm", "revision": "0" * 40}, 0),
        ({"model": "somebody/minilm", "revision": "main"}, 1),
        ({"model": "somebody/minilm"}, 1),
        ({"model": "somebody/..", "revision": "0" * 40}, 1),
        ({"model": "mine", "revision": "0" * 40}, 1),
    ],
)
def test_weights_of_the_hub_at_a_commit_are_no_path(encoder: dict[str, str], told: int) -> None:
    config = {"dataset": {"features": {"text": {"encoder": {"name": "sentence-transformers", **encoder}}}}}
    assert len(list(named_paths(config))) == told
