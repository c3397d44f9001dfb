"""Clicks on training lists: who orders them, how often they are shown, and that rates and propensities are true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mmrec_bench.clicks.position import EYE_TRACKING
from mmrec_bench.clicks.user_browsing import BROWSING
from mmrec_bench.data.arrays import digest
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import DataError, ModelError
from mmrec_bench.experiments.click_log import ClickLogConfig, log_clicks
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.schema.experiment import load_experiment

N_ITEMS = 40


def labelled(lengths: list[int], seed: int = 0, n_features: int = 3) -> Lists:
    """Lists with labels of 0 to 4, row features that tell of them, and a delivered log that must not shine through."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    labels = rng.choice(5, n, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    return Lists(
        list_of=np.repeat(np.arange(len(lengths)), lengths),
        items=np.concatenate([rng.permutation(N_ITEMS)[:length] for length in lengths]),
        n_items=N_ITEMS,
        users=rng.integers(0, 5, len(lengths)),
        n_users=5,
        features=(labels[:, None] * [1.0, -2.0, 0.0][:n_features] + rng.normal(size=(n, n_features))).astype(
            np.float32
        ),
        positions=np.full(n, 7),
        clicks=np.ones(n, bool),
        labels=labels,
        timestamps=np.arange(len(lengths)),
        propensities=np.full(n, 0.01, np.float32),
        histories=Histories(np.arange(len(lengths) + 1), np.arange(len(lengths)) % N_ITEMS),
    )


def config(model: Any = "pbm", **settings: Any) -> ClickLogConfig:
    return ClickLogConfig.model_validate({"model": model, **settings})


def same(left: Lists, right: Lists) -> bool:
    return left.fingerprint() == right.fingerprint()


def test_delivered_lists_are_shown_as_they_stand() -> None:
    train = labelled([5, 12, 1, 3])
    log = log_clicks(train, config(order="delivered", shown=None))
    assert log.positions is not None
    assert log.positions.tolist() == [place for length in (5, 12, 1, 3) for place in range(1, length + 1)]
    for name in ("list_of", "items", "labels", "features", "users", "timestamps"):
        np.testing.assert_array_equal(getattr(log, name), getattr(train, name))
    assert log.histories is not None
    assert log.histories.items.tolist() == train.histories.items.tolist()  # type: ignore[union-attr]
    assert 0 < log.clicks.sum() < len(log)  # type: ignore[union-attr]
    top = log_clicks(train, config(order="delivered", shown=4))
    kept = np.flatnonzero(log.positions <= 4)
    for name in ("items", "labels", "features", "positions"):
        np.testing.assert_array_equal(getattr(top, name), getattr(log, name)[kept])
    assert top.lengths().tolist() == [4, 4, 1, 3]
    assert log_clicks(train, config(order="delivered")).lengths().tolist() == [5, 10, 1, 3]


def test_every_session_shows_the_whole_list_anew() -> None:
    train = labelled([6] * 8)
    log = log_clicks(train, config(order="random", sessions=3, shown=None))
    assert log.n_lists == 24
    orders = {number: [] for number in range(8)}  # type: ignore[var-annotated]
    for session in range(24):
        rows, number = log.list_of == session, session % 8
        of = train.list_of == number
        facts = zip(log.items[rows], log.labels[rows], log.features[rows, 1], strict=True)  # type: ignore[index]
        assert sorted(facts) == sorted(zip(train.items[of], train.labels[of], train.features[of, 1], strict=True))  # type: ignore[index]
        assert log.users[session] == train.users[number]
        assert log.positions[rows].tolist() == [1, 2, 3, 4, 5, 6]  # type: ignore[index]
        orders[number].append(tuple(log.items[rows].tolist()))
    assert all(len(set(found)) > 1 for found in orders.values())


def test_random_orders_put_every_row_at_every_place_equally_often() -> None:
    sessions, train = 6000, labelled([4])
    log = log_clicks(train, config(order="random", sessions=sessions))
    places = Counter(zip(log.items.tolist(), log.positions.tolist(), strict=True))  # type: ignore[union-attr]
    assert len(places) == 16
    sigma = (sessions * 0.25 * 0.75) ** 0.5
    assert all(abs(count - sessions / 4) < 5 * sigma for count in places.values())


def test_a_linear_order_sorts_by_a_ridge_regression() -> None:
    train = labelled([7] * 60)
    assert train.features is not None
    assert train.labels is not None
    log = log_clicks(train, config(order="linear", labelled=1.0, shown=None))
    scaled = train.features / train.features.std(axis=0)
    centred, target = scaled - scaled.mean(axis=0), train.labels - train.labels.mean()
    weights = np.linalg.solve(centred.T @ centred + np.eye(3), centred.T @ target)
    scores = scaled @ weights
    for number in range(60):
        rows = np.flatnonzero(train.list_of == number)
        expected = train.items[rows[np.argsort(-scores[rows], kind="stable")]]
        assert log.items[log.list_of == number].tolist() == expected.tolist()


def test_a_linear_order_looks_at_no_label_beyond_its_share() -> None:
    """Turning the labels of one list around changes the order only if the list is among the labelled ones."""
    train = labelled([7] * 60)
    assert train.labels is not None
    settings = config(order="linear", labelled=0.1, shown=None)
    before = log_clicks(train, settings).items
    matters = []
    for number in range(60):
        turned = np.where(train.list_of == number, 4 - train.labels, train.labels)
        matters.append(not np.array_equal(log_clicks(replace(train, labels=turned), settings).items, before))
    assert 3 <= sum(matters) <= 6
    few = config(order="linear", labelled=0.0001, shown=None)
    only_last = np.where(train.list_of >= 58, train.labels, 0)
    log_clicks(replace(train, labels=only_last), few)  # goes on until two labels differ


def test_a_constant_column_does_not_break_the_linear_order() -> None:
    train = labelled([7] * 20)
    assert train.features is not None
    constant = replace(
        train, features=np.column_stack([train.features[:, :2], np.full(len(train), 3.0)]).astype(np.float32)
    )
    assert log_clicks(constant, config(order="linear", labelled=1.0)).n_lists == 20


@pytest.mark.parametrize(
    "model",
    [
        "pbm",
        {"name": "pbm", "severity": 0.5, "table": "starank", "popularity": {"floor": 0.2}},
        "ubm",
        {"name": "ubm", "popularity": {"floor": 0.5}},
        {"name": "cascade", "attraction": {"relevant": 0.7}},
        {"name": "dcm", "continuation": [0.8, 0.5]},
        "ccm",
    ],
    ids=["pbm", "pbm-popularity", "ubm", "ubm-popularity", "cascade", "dcm", "ccm"],
)
def test_click_rates_are_those_of_the_model(model: Any) -> None:
    sessions, train = 20_000, labelled([12, 5, 9], seed=4)
    settings = config(model, order="delivered", shown=8, sessions=sessions)
    log = log_clicks(train, settings)
    assert log.clicks is not None
    assert log.positions is not None
    counts = train.item_counts() / train.item_counts().max()
    for number in range(3):
        rows = np.flatnonzero(train.list_of == number)[:8]
        assert train.labels is not None
        expected = settings.model.expected(train.labels[rows][None], counts[train.items[rows]][None]).clicks[0]
        mine = log.list_of % 3 == number
        rates = np.array([log.clicks[mine & (log.positions == place)].mean() for place in range(1, len(rows) + 1)])
        sigma = np.sqrt(np.maximum(expected * (1 - expected), 1e-6) / sessions)
        assert (np.abs(rates - expected) < 5 * sigma).all(), (rates, expected)
        assert expected.min() > 0


def test_propensities_of_the_position_based_model_are_its_table() -> None:
    train = labelled([12] * 30)
    log = log_clicks(train, config(order="random", sessions=2, shown=None))
    theta = np.array([*EYE_TRACKING, EYE_TRACKING[-1], EYE_TRACKING[-1]])
    np.testing.assert_allclose(log.propensities, theta[log.positions - 1], rtol=1e-6)  # type: ignore[operator]
    biased = log_clicks(train, config({"name": "pbm", "popularity": {"floor": 0.3, "exponent": 2.0}}, order="random"))
    share = (train.item_counts() / train.item_counts().max())[biased.items]
    expected = theta[biased.positions - 1] * (0.3 + 0.7 * share**2)  # type: ignore[operator]
    np.testing.assert_allclose(biased.propensities, expected, rtol=1e-6)


def test_propensities_of_the_user_browsing_model_hang_on_the_clicks_above() -> None:
    log = log_clicks(labelled([9] * 40), config("ubm", order="random", shown=None))
    last, seen = 0, set()
    assert log.clicks is not None
    for clicked, place, propensity in zip(log.clicks, log.positions, log.propensities, strict=True):  # type: ignore[arg-type]
        last = 0 if place == 1 else last
        row = BROWSING[place - 1]
        assert propensity == pytest.approx(row[-1] if last == 0 else row[place - last - 1])
        seen.add((int(place), last))
        last = int(place) if clicked else last
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("pbm", True),
        ("ubm", True),
        ({"name": "pbm", "severity": 0.0}, True),
        ({"name": "dcm", "attraction": {"relevant": 0.9}}, True),
        ({"name": "ccm", "attraction": {"relevant": 0.9}}, True),
        ("cascade", False),
        ({"name": "dcm", "continuation": [0.0]}, False),
        ({"name": "pbm", "severity": 1000.0}, False),
    ],
)
def test_propensities_are_left_out_only_where_one_is_zero(model: Any, known: bool) -> None:
    settings, train = config(model, order="delivered", shown=None, sessions=5), labelled([8] * 20)
    log = log_clicks(train, settings)
    assert (log.propensities is not None) == known
    assert log.clicks is not None
    if known:
        assert log.propensities is not None
        labels = np.asarray(log.labels).reshape(-1, 8)
        marginal = settings.model.expected(labels).examination.reshape(-1)
        assert (log.propensities > 0).all()
        if settings.model.name == "pbm":
            np.testing.assert_allclose(log.propensities, marginal, rtol=1e-6)


def test_the_same_seed_gives_the_same_log_and_another_another() -> None:
    train = labelled([9] * 30)
    for order in ("delivered", "random", "linear"):
        settings = config(order=order)
        assert same(log_clicks(train, settings), log_clicks(train, settings))
        other = log_clicks(train, settings.model_copy(update={"seed": 1}))
        assert not same(log_clicks(train, settings), other)
    # sessions are drawn list after list, so that more of them only add to the log
    longer = log_clicks(train, config(order="delivered", sessions=2))
    shorter = log_clicks(train, config(order="delivered"))
    assert longer.clicks is not None
    np.testing.assert_array_equal(longer.clicks[: len(shorter)], shorter.clicks)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": None}, "dataset.clicks needs labels .* Remove it"),
        ({"features": None}, "'linear' needs features of rows; choose 'delivered' or 'random'"),
        ({"labels": np.full(36, 2)}, "'linear' needs labels that differ; choose 'delivered' or 'random'"),
        ({"labels": np.full(36, 5)}, "go up to 5, and dataset.clicks.model.attraction.max_label is 4"),
    ],
)
def test_lists_without_what_is_needed_are_refused(changed: dict[str, Any], message: str) -> None:
    train = labelled([9] * 4)
    lists = replace(train, **changed)
    order = "delivered" if "max_label" in message else "linear"
    with pytest.raises(DataError, match=message):
        log_clicks(lists, config(order=order))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "pmb"}, "unknown click model 'pmb'; did you mean 'pbm'"),
        ({"model": "pbm", "order": "liner"}, "'delivered', 'random' or 'linear'; got 'liner'"),
        ({"model": "pbm", "order": "random", "labelled": 0.5}, "labelled is of order: linear; .* Remove it"),
        ({"model": "pbm", "labelled": 0}, "labelled.*greater than 0; got 0"),
        ({"model": "pbm", "sessions": 0}, "greater than 0; got 0"),
        ({"model": "pbm", "shown": 0}, "greater than 0; got 0"),
        ({"order": "random"}, "required, but missing"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        ClickLogConfig.model_validate(settings)


def test_resolved_settings_load_again() -> None:
    for settings in (config(), config(order="random"), config(order="linear", labelled=0.5)):
        assert ClickLogConfig.model_validate(settings.model_dump(mode="json")) == settings
    assert config().labelled == 0.01
    assert config(order="random").labelled is None


def test_held_out_lists_stay_as_they_are_and_the_log_is_part_of_the_run() -> None:
    preparer = Preparer(None)
    load = lambda *overrides: load_experiment(Path("configs/synthetic/starank.yaml"), overrides)  # noqa: E731
    clicked, plain = load(), load("dataset.clicks=null", "model.learns_from=labels")
    one, other = preparer(clicked), preparer(plain)
    assert one.split is other.split
    assert one.fingerprints["split"] == other.fingerprints["split"]
    assert "clicks" not in other.fingerprints
    assert clicked.config.dataset.clicks is not None
    assert one.fingerprints["clicks"] == digest(clicked.config.dataset.clicks.model_dump_json())
    keys = {
        run_key(experiment, preparer(experiment), 0).fingerprint
        for experiment in (
            clicked,
            load("dataset.clicks.seed=1"),
            load("dataset.clicks.shown=5"),
            load("dataset.clicks.sessions=2"),
            load("dataset.clicks.order=random"),
            load("dataset.clicks.labelled=0.5"),
            load("dataset.clicks.model=ubm"),
        )
    }
    assert len(keys) == 7


@pytest.mark.parametrize(("order", "refused"), [("linear", True), ("random", True), ("delivered", False)])
def test_a_reader_of_the_order_shown_needs_held_out_lists_in_that_order(order: str, refused: bool) -> None:
    overrides = ("model={name: prm, learns_from: clicks}", "trainer.max_epochs=1", f"dataset.clicks.order={order}")
    if order != "linear":
        overrides = (*overrides, "dataset.clicks.labelled=null")
    experiment = load_experiment(Path("configs/synthetic/starank.yaml"), overrides)
    if refused:
        with pytest.raises(ModelError, match=rf"order of its own \({order}\).*model.initial_order: false"):
            Preparer(None)(experiment)
        overrides = (*overrides, "model.initial_order=false")
        experiment = load_experiment(Path("configs/synthetic/starank.yaml"), overrides)
    Preparer(None)(experiment)
