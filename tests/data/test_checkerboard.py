"""The checkerboard leaves one right answer at each stage, and only for models that know who likes what."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.checkerboard import MIN_SIDE, checkerboard
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError

SIZES = [(8, 8), (24, 24), (9, 13), (13, 9), (50, 8), (8, 50), (51, 33)]
STAGES = [(1, (0,)), (2, (0,)), (2, (0, 1))]
"""Label of the part that is evaluated, and labels of the rows that are excluded."""


def parts(data: Dataset[Interactions]) -> list[Interactions]:
    labels = data.payload.labels
    assert labels is not None
    return [data.payload.select(labels == part) for part in range(3)]


def first(scores: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Return the best item of each user, or -1 where another is as good."""
    scores = np.where(excluded > 0, -np.inf, scores)
    best = scores.max(axis=1, keepdims=True)
    return np.where((scores == best).sum(axis=1) == 1, scores.argmax(axis=1), -1)


@pytest.mark.parametrize(("n_users", "n_items"), SIZES)
def test_users_like_all_items_of_their_parity_and_no_other(n_users: int, n_items: int) -> None:
    data = checkerboard(n_users, n_items).payload
    wanted = {(u, i) for u in range(n_users) for i in range(n_items) if u % 2 == i % 2}
    assert set(zip(data.users.tolist(), data.items.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(("n_users", "n_items"), SIZES)
def test_one_cell_of_each_user_is_withheld_in_one_part_only(n_users: int, n_items: int) -> None:
    train, valid, test = parts(checkerboard(n_users, n_items))
    assert set(train.users) == set(range(n_users))
    assert sorted([*valid.users, *test.users]) == list(range(n_users))
    for part in (valid, test):
        assert {0, 1} == set(part.users % 2)
        if n_users <= n_items:
            np.testing.assert_array_equal(part.items, part.users)
    assert set(valid.items) | set(test.items) <= set(train.items) == set(range(n_items))


@pytest.mark.parametrize(("n_users", "n_items"), SIZES)
@pytest.mark.parametrize(("stage", "excluded"), STAGES)
def test_parity_leaves_exactly_one_right_answer(
    n_users: int, n_items: int, stage: int, excluded: tuple[int, ...]
) -> None:
    split = parts(checkerboard(n_users, n_items))
    masked = sum(split[label].matrix().toarray() for label in excluded)
    oracle = (np.arange(n_users)[:, None] % 2 == np.arange(n_items) % 2).astype(float)
    part = split[stage]
    np.testing.assert_array_equal(first(oracle, masked)[part.users], part.items)


@pytest.mark.parametrize(("n_users", "n_items"), SIZES)
@pytest.mark.parametrize(("stage", "excluded"), STAGES)
def test_neighbours_solve_it_and_popularity_does_not(
    n_users: int, n_items: int, stage: int, excluded: tuple[int, ...]
) -> None:
    split = parts(checkerboard(n_users, n_items))
    train = split[0].matrix().toarray()
    masked = sum(split[label].matrix().toarray() for label in excluded)
    part = split[stage]
    neighbours = train @ (train.T @ train)
    np.testing.assert_array_equal(first(neighbours, masked)[part.users], part.items)
    popularity = np.broadcast_to(train.sum(axis=0), train.shape)
    assert (first(popularity, masked)[part.users] == part.items).mean() < 0.6


@pytest.mark.parametrize("modality", ["image", "text"])
def test_features_carry_the_parity_and_tell_items_apart(modality: str) -> None:
    data = checkerboard(30, 40)
    train, valid, test = parts(data)
    values = data.features[modality].values
    assert data.features[modality].present.all()
    assert len(np.unique(values, axis=0)) == 40
    scores = train.matrix() @ values @ values.T
    for part in (valid, test):
        np.testing.assert_array_equal(first(scores, train.matrix().toarray())[part.users], part.items)


def test_it_is_always_the_same() -> None:
    one, two = checkerboard(20, 20), checkerboard(20, 20)
    assert one.fingerprint() == two.fingerprint()
    assert one.feature_fingerprints() == two.feature_fingerprints()


def test_words_and_titles_name_the_colour() -> None:
    items = checkerboard(8, 9).items
    assert items.words is not None
    assert items.titles is not None
    assert [items.words.of_item(item) for item in (4, 7)] == [(("colour", "white"),), (("colour", "black"),)]
    assert items.titles[7] == "black square 7"


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (0, 0), (-1, 20)])
def test_too_small_a_board_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"at least {MIN_SIDE} users and items; got {size[0]} and {size[1]}"):
        checkerboard(*size)
