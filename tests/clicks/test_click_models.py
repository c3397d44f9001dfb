"""Click models against published constants worked out by hand, slow recursions over whole sessions, and chance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from mmrec_bench.clicks import CLICK_MODELS, Attraction, ClickModel, ClickModelField, base
from mmrec_bench.clicks.user_browsing import BROWSING
from mmrec_bench.errors import DataError
from mmrec_bench.testing.config_checks import undocumented

BIAS = {"floor": 0.4, "exponent": 0.5}
CASES: dict[str, dict[str, Any]] = {
    "pbm": {"name": "pbm"},
    "pbm-popular": {"name": "pbm", "table": "power", "severity": 0.5, "popularity": BIAS},
    "ubm": {"name": "ubm"},
    "ubm-popular": {"name": "ubm", "severity": 2.0, "popularity": BIAS},
    "cascade": {"name": "cascade", "attraction": {"relevant": 0.8}},
    "dcm": {"name": "dcm", "continuation": (0.9, 0.6, 0.3)},
    "ccm": {"name": "ccm"},
}


class Holder(BaseModel):
    clicks: ClickModelField


def model(config: str | dict[str, Any]) -> ClickModel:
    return Holder(clicks=config).clicks


LIST = np.array([[2, 0, 4, 1, 0, 3, 0, 0, 1, 0]])


@pytest.mark.parametrize(
    ("config", "clicks"),
    [
        ({"name": "pbm", "table": "starank"}, [0.28, 0.10, 0.95, 0.1312, 0.069, 0.2808, 0.047, 0.043, 0.0656, 0.043]),
        ("ubm", [0.28, 0.0994, 0.8716, 0.1502, 0.0871, 0.3478, 0.0666, 0.0613, 0.0914, 0.058]),
        ("ccm", [0.28, 0.0462, 0.2257, 0.0097, 0.0029, 0.0074, 0.0006, 0.0003, 0.0002, 0.0001]),
        ("dcm", [0.28, 0.0888, 0.8525, 0.0818, 0.0479, 0.239, 0.0364, 0.0349, 0.0537, 0.0314]),
        ("cascade", [0.28, 0.072, 0.648, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_expected_clicks_by_hand(config: str | dict[str, Any], clicks: list[float]) -> None:
    np.testing.assert_allclose(model(config).expected(LIST).clicks[0], clicks, atol=1e-4)


def test_examination_of_user_browsing_by_hand() -> None:
    examination = [1, 0.9944, 0.8716, 0.9385, 0.8709, 0.6689, 0.6662, 0.6134, 0.5714, 0.5802]
    np.testing.assert_allclose(model("ubm").expected(LIST).examination[0], examination, atol=1e-4)


def _browsing_reference(labels: list[int], popularity: list[float], config: Any) -> list[float]:
    """Examination by enumeration of all click histories."""
    attraction, result = config.attraction.of(np.array(labels)), [0.0] * len(labels)

    def follow(rank: int, last: int | None, probability: float) -> None:
        if rank == len(labels):
            return
        row = BROWSING[min(rank, 9)]
        theta = row[-1] if last is None else row[min(rank - last - 1, 8)]
        seen = theta**config.severity
        if config.popularity:
            floor, exponent = config.popularity.floor, config.popularity.exponent
            seen *= floor + (1 - floor) * popularity[rank] ** exponent
        result[rank] += probability * seen
        click = seen * attraction[rank]
        follow(rank + 1, rank, probability * click)
        follow(rank + 1, last, probability * (1 - click))

    follow(0, None, 1.0)
    return result


@pytest.mark.parametrize("case", ["ubm", "ubm-popular"])
def test_user_browsing_equals_the_enumeration_of_histories_beyond_its_table(case: str) -> None:
    rng, config = np.random.default_rng(0), model(CASES[case])
    labels, popularity = rng.integers(0, 5, (3, 14)), rng.uniform(0.01, 1, (3, 14))
    expected = [_browsing_reference(*rows, config) for rows in zip(labels.tolist(), popularity.tolist(), strict=True)]
    np.testing.assert_allclose(config.expected(labels, popularity).examination, expected, rtol=1e-12)


def _reading_reference(attraction: list[float], on: Callable[[int, float, int], float]) -> list[float]:
    """Examination by enumeration of where the user clicks and stops; `on(rank, attraction, click)`."""
    result = [0.0] * len(attraction)

    def follow(rank: int, probability: float) -> None:
        if rank == len(attraction):
            return
        result[rank] += probability
        for click, share in ((0, 1 - attraction[rank]), (1, attraction[rank])):
            follow(rank + 1, probability * share * on(rank, attraction[rank], click))

    follow(0, 1.0)
    return result


@pytest.mark.parametrize(
    ("case", "on"),
    [
        ("cascade", lambda rank, a, click: 1 - click),
        ("dcm", lambda rank, a, click: (0.9, 0.6, 0.3)[min(rank, 2)] if click else 1),
        ("ccm", lambda rank, a, click: (1 - a) * 0.4 + a * 0.27 if click else 0.5),
    ],
)
def test_reading_models_equal_the_enumeration_of_sessions(case: str, on: Callable[..., float]) -> None:
    labels, config = np.random.default_rng(1).integers(0, 5, (4, 8)), model(CASES[case])
    expected = [_reading_reference(config.attraction.of(row).tolist(), on) for row in labels]
    np.testing.assert_allclose(config.expected(labels).examination, expected, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_chance_agrees_with_expectation(case: str) -> None:
    n, rng, config = 200_000, np.random.default_rng(2), model(CASES[case])
    labels = np.tile([[1, 3, 0, 4, 2, 0, 1, 3, 0, 2, 1, 4, -1]], (n, 1))
    popularity = np.tile(rng.uniform(0.01, 1, (1, 13)), (n, 1))
    clicked, expected = config.simulate(labels, rng, popularity), config.expected(labels[:1], popularity[:1])
    four_sigma = 4 * 0.5 / n**0.5
    np.testing.assert_allclose(clicked.clicks.mean(axis=0), expected.clicks[0], atol=four_sigma)
    np.testing.assert_allclose(clicked.observed.mean(axis=0), expected.examination[0], atol=four_sigma)
    np.testing.assert_array_equal(clicked.propensities[:1], expected.examination)
    assert not (clicked.clicks & ~clicked.observed).any()
    assert not clicked.observed[:, -1].any()
    # The conditional propensity is that of the sessions with the same clicks above, here with and without one.
    np.testing.assert_allclose(clicked.conditional.mean(axis=0), expected.examination[0], atol=four_sigma)
    for rank in range(1, 12):
        for above in (True, False):
            same = clicked.clicks[:, rank - 1] == above
            if same.sum() > 1000:
                gap = clicked.observed[same, rank].mean() - clicked.conditional[same, rank].mean()
                assert abs(gap) < 4 * 0.5 / same.sum() ** 0.5, (rank, above)


@pytest.mark.parametrize("case", CASES)
def test_inverse_weighting_by_either_propensity_recovers_attraction(case: str) -> None:
    n, config = 300_000, model(CASES[case])
    labels = np.tile([[1, 3, 0, 2]], (n, 1))
    clicked = config.simulate(labels, np.random.default_rng(3), np.full(labels.shape, 0.5))
    kinds = [clicked.propensities] if config.name in ("cascade", "ccm") else [clicked.propensities, clicked.conditional]
    for propensities in kinds:  # a conditional one may be 0 after a stop, so that a row is never seen there
        weighted = (clicked.clicks / propensities).mean(axis=0)
        np.testing.assert_allclose(weighted, config.attraction.of(labels[0]), atol=0.02)


@pytest.mark.parametrize("case", CASES)
def test_sessions_depend_on_the_generator_alone_and_not_on_blocks(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, config = np.random.default_rng(4), model(CASES[case])
    labels, popularity = rng.integers(0, 5, (50, 12)), rng.uniform(0.01, 1, (50, 12))
    whole = config.simulate(labels, np.random.default_rng(5), popularity)
    monkeypatch.setattr(base, "BLOCK_CELLS", 40)
    for n in (50, 17):
        blocks = config.simulate(labels[:n], np.random.default_rng(5), popularity[:n])
        for field in ("clicks", "observed", "propensities", "conditional"):
            np.testing.assert_array_equal(getattr(blocks, field), getattr(whole, field)[:n])


@pytest.mark.parametrize("case", CASES)
def test_padding_changes_no_expectation_and_any_length_works(case: str) -> None:
    config, rng = model(CASES[case]), np.random.default_rng(6)
    for shape in ((3, 0), (0, 5), (2, 1), (2, 30)):
        labels, popularity = rng.integers(0, 5, shape), rng.uniform(0.01, 1, shape)
        expected = config.expected(labels, popularity)
        padded = config.expected(
            np.pad(labels, ((0, 0), (0, 3)), constant_values=-1), np.pad(popularity, ((0, 0), (0, 3)))
        )
        np.testing.assert_array_equal(padded.examination, np.pad(expected.examination, ((0, 0), (0, 3))))
        np.testing.assert_array_equal(padded.clicks, np.pad(expected.clicks, ((0, 0), (0, 3))))
        assert config.simulate(labels, rng, popularity).clicks.shape == shape


def test_severity_and_popularity_bias_as_written() -> None:
    labels, popularity = np.zeros((1, 12), np.int64), np.full((1, 12), 0.25)
    config = model({"name": "pbm", "severity": 2.0, "popularity": {"floor": 0.4, "exponent": 0.5}})
    table = [0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06, 0.06, 0.06]
    expected = [theta**2 * (0.4 + 0.6 * 0.5) for theta in table]
    np.testing.assert_allclose(config.expected(labels, popularity).examination[0], expected, rtol=1e-12)
    power = model({"name": "pbm", "table": "power", "severity": 0.5}).expected(labels).examination[0]
    np.testing.assert_allclose(power, [rank**-0.5 for rank in range(1, 13)], rtol=1e-12)
    for name in ("pbm", "ubm"):
        examination = model({"name": name, "severity": 0}).expected(labels).examination
        np.testing.assert_allclose(examination, 1, rtol=1e-12)
        assert examination.max() <= 1


def test_attraction_as_written() -> None:
    np.testing.assert_allclose(Attraction().of(np.arange(-1, 5)), [0, 0.1, 0.16, 0.28, 0.52, 1.0], rtol=1e-12)
    binary = Attraction(irrelevant=0.0, relevant=0.6, max_label=1)
    np.testing.assert_allclose(binary.of(np.array([0, 1])), [0, 0.6])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[5, 0]]), "max_label .4.; got 5"),
        (np.array([[-2, 0]]), "got -2"),
        (np.array([[1.0, 0.0]]), "whole numbers.*got float64"),
        (np.array([1, 0]), r"shape \(2,\)"),
        (np.array([[1, -1, 0]]), "end of a list"),
    ],
)
def test_bad_labels_are_named(labels: np.ndarray, message: str) -> None:
    for name in CLICK_MODELS:
        with pytest.raises(DataError, match=message):
            model(name).expected(labels)
        with pytest.raises(DataError, match=message):
            model(name).simulate(labels, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("popularity", "message"),
    [
        (None, "given no popularity"),
        (np.array([[0.5, 0.0]]), "got 0.0"),
        (np.array([[1.5, 0.5]]), "got 1.5"),
        (np.array([[np.nan, 0.5]]), "got nan"),
        (np.array([[0.5]]), r"\(1, 2\); got \(1, 1\)"),
    ],
)
def test_bad_popularity_is_named(popularity: np.ndarray | None, message: str) -> None:
    for case in ("pbm-popular", "ubm-popular"):
        with pytest.raises(DataError, match=message):
            model(CASES[case]).expected(np.array([[1, 0]]), popularity)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "pbm", "severity": -1.0}, "greater than or equal to 0; got -1.0"),
        ({"name": "ubm", "severity": -0.5}, "greater than or equal to 0; got -0.5"),
        ({"name": "cascade", "popularity": {"floor": 0.4}}, "popularity bias is of pbm and ubm"),
        ({"name": "dcm", "continuation": ()}, "continuation"),
        ({"name": "dcm", "continuation": (1.2,)}, "less than or equal to 1; got 1.2"),
        ({"name": "pbm", "table": "yahoo"}, "eye-tracking"),
        ({"name": "pbm", "attraction": {"irrelevant": 0.5, "relevant": 0.5}}, "irrelevant must be below relevant"),
        ({"name": "pbm", "attraction": {"max_label": 0}}, "max_label"),
        ("pbn", "did you mean 'pbm'"),
    ],
)
def test_bad_configs_are_named(config: str | dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(config)


def test_every_field_is_documented() -> None:
    for name in CLICK_MODELS:
        assert not undocumented(CLICK_MODELS[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pbm", "ubm", "ccm"])
def test_ten_million_impressions_in_twenty_seconds(name: str) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (1_000_000, 10))
    start = time.perf_counter()
    model(name).simulate(labels, np.random.default_rng(0))
    assert time.perf_counter() - start < 20
