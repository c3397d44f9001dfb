from __future__ import annotations

import pytest

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS
from mmrec_bench.metrics.identity import MetricId, checked_cutoffs, parse_metric
from mmrec_bench.metrics.ranking import METRICS


@pytest.mark.parametrize("text", ["recall@20", "hit-rate@1", "map-truth@1000"])
def test_names_round_trip(text: str) -> None:
    assert str(parse_metric(text, METRICS)) == text


def test_catalogue_metrics_have_names_of_the_same_form() -> None:
    assert parse_metric("gini@5", CATALOGUE_METRICS) == MetricId("gini", 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recall", "no cutoff"),
        ("recal@20", "did you mean 'recall'"),
        ("gini@20", "unknown metric 'gini'"),
        ("recall@0", "from 1 on; got '0'"),
        ("recall@-5", "from 1 on; got '-5'"),
        ("recall@020", "from 1 on"),
        ("recall@2.5", "from 1 on"),
        ("recall@٣", "from 1 on"),
        ("recall@20\n", "from 1 on"),
        ("recall@20@5", "from 1 on"),
        ("recall@", "from 1 on"),
        ("@20", "unknown metric ''"),
        ("recall@99999999999999999999", "from 1 on"),
    ],
)
def test_other_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        parse_metric(text, METRICS)


def test_cutoffs_come_back_in_order() -> None:
    assert checked_cutoffs([50, 5, 20], 50) == (5, 20, 50)


@pytest.mark.parametrize(
    ("cutoffs", "message"),
    [
        ([], "empty"),
        ([5, 5], "differ"),
        ([0], r"got 0\. Raise protocol\.cutoffs"),
        ([10000], r"^recall@k needs 1 <= k <= n_items \(7050\); got 10000\. Lower protocol\.cutoffs"),
    ],
)
def test_cutoffs_outside_of_the_catalogue_are_refused(cutoffs: list[int], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        checked_cutoffs(cutoffs, 7050)
