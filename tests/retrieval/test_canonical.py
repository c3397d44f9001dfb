from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.retrieval.canonical import Candidates, canonical_top_k

INF = np.inf


def _candidates(items: list[list[int]], scores: list[list[float]], bound: list[float]) -> Candidates:
    return Candidates(np.array(items), np.array(scores, np.float32), np.array(bound, np.float32))


def test_ties_go_by_tie_rank_and_dropped_items_leave() -> None:
    given_ = _candidates([[0, 1, 2, 3, 4]], [[9, 5, 5, 5, 1]], [1])
    dropped = np.array([[False, False, True, False, False]])
    top = canonical_top_k(given_, dropped, np.array([4, 3, 2, 1, 0]), 3)
    assert top.items.tolist() == [[0, 3, 1]]
    assert top.scores.tolist() == [[9, 5, 5]]
    assert top.settled.tolist() == [True]


def test_a_row_is_open_when_items_beyond_may_share_the_last_score() -> None:
    given_ = _candidates([[0, 1], [2, 3], [4, 5]], [[2, 2], [2, 1], [3, 3]], [2, 1, -INF])
    top = canonical_top_k(given_, np.zeros((3, 2), bool), np.arange(6), 1)
    assert top.settled.tolist() == [False, True, True]


def test_a_row_is_open_when_too_few_are_left_and_more_exist() -> None:
    given_ = _candidates([[0, 1]], [[2, 1]], [1])
    top = canonical_top_k(given_, np.array([[True, False]]), np.arange(2), 2)
    assert top.settled.tolist() == [False]


def test_rows_that_run_out_are_padded() -> None:
    given_ = _candidates([[3, -1, -1]], [[2, -INF, -INF]], [-INF])
    top = canonical_top_k(given_, np.zeros((1, 3), bool), np.arange(4), 2)
    assert top.items.tolist() == [[3, -1]]
    assert top.scores.tolist() == [[2, -INF]]
    assert top.settled.all()
    wider = canonical_top_k(given_, np.zeros((1, 3), bool), np.arange(4), 5)
    assert wider.items.tolist() == [[3, -1, -1, -1, -1]]


@given(st.data())
def test_equals_a_python_sort(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(1, 12))
    scores = np.sort(data.draw(st.lists(st.integers(-2, 2), min_size=n_items, max_size=n_items)))[::-1]
    items = np.array(data.draw(st.permutations(range(n_items))))
    ties = np.array(data.draw(st.permutations(range(n_items))))
    dropped = np.array(data.draw(st.lists(st.booleans(), min_size=n_items, max_size=n_items)))
    k = data.draw(st.integers(1, n_items))
    rows = sorted(zip(-scores[~dropped], ties[items[~dropped]], items[~dropped], strict=True))[:k]
    expected = [int(item) for _, _, item in rows] + [-1] * (k - len(rows))
    top = canonical_top_k(
        Candidates(items[None], scores[None].astype(np.float32), np.full(1, -INF, np.float32)), dropped[None], ties, k
    )
    assert top.items.tolist() == [expected]
