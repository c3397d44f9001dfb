"""Moments are UTC wherever the machine stands."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mmrec_bench.data.moments import Moment, to_seconds, to_text
from mmrec_bench.errors import ConfigError
from mmrec_bench.settings import BaseConfig, Document


@pytest.fixture(autouse=True)
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("1970-01-01", 0),
        ("2014-01-01", 1_388_534_400),
        ("2014-01-01T01:00:00", 1_388_538_000),
        ("2014-01-01T01:00:00Z", 1_388_538_000),
        ("2014-01-01T01:00:00+09:00", 1_388_505_600),
        (5, 5),
        (-5, -5),
    ],
)
def test_moments(moment: int | str, seconds: int) -> None:
    assert to_seconds(moment) == seconds
    assert to_seconds(to_text(seconds)) == seconds


def test_beyond_the_calendar() -> None:
    assert to_text(10**18) == "second 1000000000000000000"


@pytest.mark.parametrize("moment", ["", "soon", "2014-13-01", "2014-02-29", "14:00", "1388534400"])
def test_what_is_no_moment_is_explained(moment: str) -> None:
    with pytest.raises(ValueError, match="a moment is ISO 8601, such as 2014-01-01"):
        to_seconds(moment)


class _Holds(BaseConfig):
    at: Moment | None = None


@pytest.mark.parametrize("value", ["2014-01-01", 5, None])
def test_a_moment_stays_as_it_was_written(value: object) -> None:
    assert Document("f.yaml", {"at": value}).parse(_Holds).at == value


@pytest.mark.parametrize("value", ["soon", True, 1.5, [1], {}, 2**63])
def test_a_field_of_another_kind_is_one_issue_with_its_value(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Document("f.yaml", {"at": value}).parse(_Holds)
    (issue,) = caught.value.issues
    assert issue.path == "at"
    assert "1970" in issue.message
    assert "got" in issue.message
