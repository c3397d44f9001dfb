from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS, Popularity, frequencies

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def _value(name: str, recommended: list[int], counts: list[int], n_users: int = 16) -> float | None:
    return CATALOGUE_METRICS[name](np.array(recommended), Popularity(np.array(counts), n_users))


def test_frequencies_count_lists_within_each_cutoff_and_no_padding() -> None:
    items = np.array([[0, 1, 2], [0, 3, -1], [4, -1, -1]])
    one, three = frequencies(items, 6, [1, 3])
    assert one.tolist() == [2, 0, 0, 0, 1, 0]
    assert three.tolist() == [2, 1, 1, 1, 1, 0]


def test_coverage() -> None:
    assert _value("coverage", [3, 0, 1, 0], [1, 1, 1, 1]) == 0.5
    assert _value("coverage", [0, 0], [1, 1]) == 0


@given(COUNTS.filter(any))
def test_gini_is_half_the_relative_mean_difference(values: list[int]) -> None:
    n = len(values)
    expected = sum(abs(a - b) for a in values for b in values) / (2 * n * sum(values))
    assert _value("gini", values, [1] * n) == pytest.approx(expected, abs=1e-12)


def test_gini_knows_its_ends() -> None:
    assert _value("gini", [4, 4, 4], [1, 1, 1]) == 0
    assert _value("gini", [0, 0, 0, 7], [1] * 4) == 0.75
    assert _value("gini", [3], [1]) == 0


def test_novelty_is_self_information_in_bits() -> None:
    assert _value("novelty", [1, 0], [16, 1]) == 0
    assert _value("novelty", [1, 3], [4, 1]) == pytest.approx((2 + 3 * 4) / 4)


def test_an_unseen_item_is_as_novel_as_one_seen_once() -> None:
    assert _value("novelty", [0, 0, 2], [4, 1, 0]) == pytest.approx(math.log2(16))
    assert _value("novelty", [0, 2, 0], [4, 1, 0]) == pytest.approx(math.log2(16))


def test_average_popularity_weighs_by_recommendations() -> None:
    assert _value("average-popularity", [3, 1, 0], [10, 2, 99]) == 8


@given(COUNTS)
def test_order_of_items_does_not_matter(values: list[int]) -> None:
    counts = list(range(len(values)))
    for name in CATALOGUE_METRICS:
        forward, backward = _value(name, values, counts), _value(name, values[::-1], counts[::-1])
        assert forward == pytest.approx(backward, abs=1e-12) if forward is not None else backward is None


def test_means_over_no_recommendation_are_undefined() -> None:
    values = {name: _value(name, [0, 0], [1, 2]) for name in CATALOGUE_METRICS}
    assert values == {"coverage": 0.0, "gini": None, "novelty": None, "average-popularity": None}


def test_input_that_means_nothing_is_refused() -> None:
    with pytest.raises(ProtocolError, match="at least one"):
        _value("gini", [], [])
    with pytest.raises(ProtocolError, match="2 and 1"):
        _value("coverage", [1, 1], [1])
    with pytest.raises(ProtocolError, match="training user"):
        Popularity(np.array([1]), 0)


def test_every_metric_says_what_it_is() -> None:
    assert {name: CATALOGUE_METRICS[name].direction for name in CATALOGUE_METRICS} == {
        "coverage": "higher", "gini": "lower", "novelty": "higher", "average-popularity": "lower"
    }  # fmt: skip
    for name in CATALOGUE_METRICS:
        metric = CATALOGUE_METRICS[name]
        assert metric.formula.count("{") == metric.formula.count("}")
        assert metric.label
        assert metric.unit
        assert metric.at(5) == f"{name}@5/v1"
