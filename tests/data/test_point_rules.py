from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.points import Points
from mmrec_bench.data.rules import SPLITS
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.splitting import make_point_split
from mmrec_bench.errors import ConfigError, ProtocolError
from mmrec_bench.settings import Document

DAY = 86_400


def _points(times: np.ndarray, labels: np.ndarray | None = None) -> Points:
    n = len(times)
    labels = np.arange(n) % 2 if labels is None else labels
    return Points(
        np.arange(n) % 5, np.arange(n) % 7, labels.astype(np.int8), np.sort(times).astype(np.int64), 5, 7, ""
    )  # fmt: skip


def _rule(**settings: Any) -> Any:
    return Document("test", {"name": "time-window", **settings}).parse(SPLITS["time-window"])


def _parts(points: Points, **settings: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    split = make_point_split(points, _rule(**settings))
    return split.train.timestamps, split.valid.timestamps, split.test.open("test", VaultLedger()).timestamps


def test_shares_part_the_rows_in_time() -> None:
    train, valid, test = _parts(_points(np.arange(100)), cut_share=0.7, valid_share=0.2, test_share=0.1)
    assert train.tolist() == list(range(50))
    assert valid.tolist() == list(range(50, 70))
    assert test.tolist() == list(range(70, 80))


def test_without_a_length_the_evaluation_window_runs_to_the_end() -> None:
    _, valid, test = _parts(_points(np.arange(100)))
    assert (valid.min(), test.min(), test.max()) == (70, 80, 99)


def test_moments_and_days() -> None:
    times = np.arange(40) * DAY // 2
    train, valid, test = _parts(_points(times), cut_at=10 * DAY, valid_days=2.0, test_days=3.0)
    assert train.max() < 8 * DAY <= valid.min()
    assert valid.max() < 10 * DAY <= test.min()
    assert test.max() < 13 * DAY
    assert len(test) == 6
    _, _, dated = _parts(_points(times), cut_at="1970-01-11", valid_days=2.0, test_days=3.0)
    assert (dated == test).all()


def test_rows_of_one_second_are_never_parted_and_the_cut_belongs_to_the_future() -> None:
    times = np.repeat([1, 2, 3, 4], 25)
    train, valid, test = _parts(_points(times), cut_share=0.6, valid_share=0.2)
    assert (set(train), set(valid), set(test)) == ({1}, {2}, {3, 4})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cut_share": 0.5, "cut_at": 3}, "either cut_share or cut_at"),
        ({"valid_days": 1.0, "valid_share": 0.1}, "either valid_share or valid_days"),
        ({"cut_share": 0.1, "valid_share": 0.2}, "leave rows for training"),
        ({"cut_share": 0.9, "test_share": 0.2}, "more than 1"),
        ({"cut_at": "soon"}, "ISO 8601"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _rule(**settings)


def test_a_resolved_rule_loads_again() -> None:
    for settings in ({}, {"cut_at": 100, "valid_days": 1.0}, {"cut_share": 0.5, "test_days": 2.0}):
        rule = _rule(**settings)
        assert _rule(**rule.model_dump(exclude={"name"})) == rule


def test_windows_of_one_class_or_one_time_are_refused() -> None:
    labels = np.arange(100) % 2
    labels[80:] = 1
    with pytest.raises(ProtocolError, match="of the part 'test' have label 1"):
        make_point_split(_points(np.arange(100), labels), _rule())
    with pytest.raises(ProtocolError, match="all at second 3"):
        make_point_split(_points(np.full(10, 3)), _rule())
    with pytest.raises(ProtocolError, match="leaves the part 'test' empty"):
        make_point_split(_points(np.arange(100)), _rule(cut_at=500, valid_share=0.1))


def test_other_rules_say_that_they_part_no_impressions() -> None:
    assert "time-window" in str(SPLITS["random-811"]().refusal("points"))  # type: ignore[call-arg]
    assert "does not part interactions" in str(_rule().refusal("interactions"))
