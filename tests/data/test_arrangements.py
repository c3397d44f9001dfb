"""Labels of arrangements are those of the best order, of which a slow reference tells."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from mmrec_bench.data.arrangements import arrangements, best_order_labels
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.histories import histories_before
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.synthetic import generate
from mmrec_bench.data.world import World, WorldConfig

L = 6


@cache
def made(**overrides: float | None) -> tuple[World, Lists]:
    config = {"n_lists": 400, "list_length": L, **overrides}
    world = {"n_users": 60, "n_items": 80, "max_interactions": 40, "factor_dim": 3, "arrangements": config}
    found = generate(WorldConfig.model_validate(world))
    return found, arrangements(found)


@pytest.mark.parametrize("window", [None, 1, 2])
def test_labels_are_those_of_the_best_order(window: int | None) -> None:
    world, lists = made(diversity_window=window)
    truth = world.truth
    histories = histories_before(world.dataset.payload, lists)
    assert lists.labels is not None
    checked = 0
    for number in range(0, 400, 17):
        factors = truth.factors[truth.user_kinds[lists.users[number]]]
        factors = factors / np.linalg.norm(factors, axis=1, keepdims=True)
        had = histories.items[histories.offsets[number] : histories.offsets[number + 1]]
        if not len(had):
            continue
        wanted = sum(0.7**age * factors[item] for age, item in enumerate(reversed(had)))
        wanted = wanted / np.linalg.norm(wanted)
        rows = lists.items[number * L : (number + 1) * L]
        left, placed = list(range(L)), list[int]()
        while left:
            worth = [
                wanted @ factors[rows[row]]
                - 2.0 * max([0.0, *(factors[rows[row]] @ factors[rows[other]] for other in placed[-(window or L) :])])
                for row in left
            ]
            placed.append(left.pop(int(np.argmax(worth))))
        labels = lists.labels[number * L : (number + 1) * L]
        assert [int(labels[row]) for row in placed] == list(reversed(range(L)))
        checked += 1
    assert checked > 10


def test_without_a_weight_the_best_order_is_that_of_utilities_and_with_one_it_is_none_of_scores() -> None:
    rng = np.random.default_rng(0)
    utilities = rng.standard_normal((50, L))
    similarities = rng.standard_normal((50, L, L))
    by_utility = utilities.argsort(axis=1).argsort(axis=1)
    np.testing.assert_array_equal(best_order_labels(utilities, similarities, 0.0), by_utility)
    # Rows 0 and 1 are twins, 2 is another: whatever comes first, its twin comes last.
    twins = np.array([[[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]] * 2)
    found = best_order_labels(np.array([[0.9, 0.8, 0.1], [0.8, 0.9, 0.1]]), twins, 2.0)
    assert found.tolist() == [[2, 0, 1], [0, 2, 1]]


def test_lists_are_whole_and_shown_in_an_order_that_says_nothing() -> None:
    world, lists = made()
    assert lists.n_lists == 400
    np.testing.assert_array_equal(lists.lengths(), L)
    assert lists.labels is not None
    assert lists.timestamps is not None
    labels = lists.labels.reshape(-1, L)
    np.testing.assert_array_equal(np.sort(labels, axis=1), np.tile(np.arange(L), (400, 1)))
    assert abs(np.corrcoef(lists.labels, np.tile(np.arange(L), 400))[0, 1]) < 0.05
    assert (np.diff(np.sort(lists.items.reshape(-1, L), axis=1), axis=1) > 0).all()
    assert (np.diff(lists.timestamps) >= 0).all()
    assert lists.features is None
    config = world.truth.config
    lived = (lists.timestamps - config.start_time) / (config.span_days * 86_400) - world.truth.life_starts[lists.users]
    assert ((lived > config.user_life / 2 - 1e-6) & (lived <= config.user_life)).all()


def test_every_setting_counts() -> None:
    plain = made()[1]
    for name, value in {
        "n_lists": 300,
        "list_length": 5,
        "history_decay": 1.0,
        "diversity_weight": 0.0,
        "diversity_window": 1,
    }.items():
        assert made(**{name: value})[1].fingerprint() != plain.fingerprint()
    assert arrangements(made()[0]).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"n_items": 30, "max_interactions": 20, "arrangements": {"list_length": 31}},
            r"arrangements.list_length must",
        ),
        ({"arrangements": {"list_length": 33}}, "32"),
        ({"arrangements": {}, "impressions": {"n_lists": 5}}, "in the place of impressions"),
    ],
)
def test_worlds_that_cannot_be_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WorldConfig.model_validate(config)


def test_the_card_gives_them_with_histories() -> None:
    dataset = load_card("synthetic-diverse").read_lists(None, ("image",))  # type: ignore[arg-type]
    lists = dataset.payload
    assert (lists.n_lists, len(lists)) == (22_000, 176_000)
    assert lists.histories is not None
    assert np.diff(lists.histories.offsets).min() > 0
    assert list(dataset.features) == ["image"]
