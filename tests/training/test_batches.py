from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError
from mmrec_bench.models.base import Pairs, Triplets
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.batches import ItemBatches, PairBatches, TripletBatches
from mmrec_bench.training.negatives import UnseenItems

CPU = torch.device("cpu")


def columns(batches: list[Triplets]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(
        torch.cat([getattr(batch, name) for batch in batches]).numpy() for name in ("users", "positives", "negatives")
    )


def test_pairs_come_once_each_and_the_last_batch_is_kept(toy: ModuleType) -> None:
    train = toy.random_interactions()
    source = PairBatches(train, 32, Seeds(0), CPU)
    batches = list(source.epoch(0))
    sizes = [len(batch.users) for batch in batches]
    assert source.n_batches == len(batches) == -(-len(train) // 32)
    assert sizes[:-1] == [32] * (len(sizes) - 1)
    assert sizes[-1] == len(train) - 32 * (len(sizes) - 1) > 0
    assert all(type(batch) is Pairs and batch.users.dtype == batch.items.dtype == torch.int64 for batch in batches)
    drawn = [pair for batch in batches for pair in zip(batch.users.tolist(), batch.items.tolist(), strict=True)]
    assert sorted(drawn) == sorted(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert drawn != sorted(drawn)


def test_items_come_once_each_in_another_order_every_epoch() -> None:
    ids = np.array([9, 2, 4, 7, 30])
    source = ItemBatches(ids, 2, Seeds(0), CPU)
    epochs = [[batch.ids.tolist() for batch in source.epoch(epoch)] for epoch in range(3)]
    assert source.n_batches == 3
    assert all(sorted(item for batch in batches for item in batch) == sorted(ids.tolist()) for batches in epochs)
    assert [len(batch) for batch in epochs[0]] == [2, 2, 1]
    assert epochs[0] != epochs[1] != epochs[2]
    shuffled = ItemBatches(ids[::-1].copy(), 2, Seeds(0), CPU)
    assert [batch.ids.tolist() for batch in shuffled.epoch(1)] == epochs[1], "whatever the order they are given in"
    with pytest.raises(DataError, match="at least one item"):
        ItemBatches(ids[:0], 2, Seeds(0), CPU)


def test_batch_larger_than_the_data_is_one_batch(toy: ModuleType) -> None:
    train = toy.random_interactions()
    source = PairBatches(train, 10**12, Seeds(0), CPU)
    assert source.n_batches == 1
    assert [len(batch.users) for batch in source.epoch(0)] == [len(train)]


def test_triplets_keep_pairs_together_and_negatives_unseen_and_known(toy: ModuleType) -> None:
    train = toy.random_interactions()
    held_out = train.select(train.items != 7)  # item 7 is in the catalogue, but not in train
    seen = set(zip(held_out.users.tolist(), held_out.items.tolist(), strict=True))
    source = TripletBatches(held_out, 64, Seeds(1), CPU)
    for epoch in range(30):
        users, positives, negatives = columns(list(source.epoch(epoch)))
        assert sorted(zip(users.tolist(), positives.tolist(), strict=True)) == sorted(seen)
        assert not seen & set(zip(users.tolist(), negatives.tolist(), strict=True))
        assert set(negatives.tolist()) <= set(held_out.items.tolist())


def test_epochs_depend_on_seed_and_number_alone(toy: ModuleType) -> None:
    train = toy.random_interactions()
    source = TripletBatches(train, 64, Seeds(1), CPU)
    in_turn = [columns(list(source.epoch(epoch))) for epoch in range(3)]
    alone = columns(list(TripletBatches(train, 64, Seeds(1), CPU).epoch(2)))
    assert all(np.array_equal(a, b) for a, b in zip(in_turn[2], alone, strict=True))
    assert not np.array_equal(in_turn[0][0], in_turn[1][0])
    assert not np.array_equal(in_turn[0][2], in_turn[1][2])
    other = columns(list(TripletBatches(train, 64, Seeds(2), CPU).epoch(2)))
    assert not np.array_equal(other[0], alone[0])


def test_global_generators_have_no_say(toy: ModuleType) -> None:
    source = TripletBatches(toy.random_interactions(), 64, Seeds(1), CPU)
    first = columns(list(source.epoch(0)))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = columns(list(source.epoch(0)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(before, torch.get_rng_state())


def test_order_of_the_file_has_no_say(toy: ModuleType) -> None:
    train = toy.random_interactions()
    shuffled = train.select(np.random.default_rng(5).permutation(len(train)))
    given = columns(list(TripletBatches(train, 64, Seeds(1), CPU).epoch(4)))
    other = columns(list(TripletBatches(shuffled, 64, Seeds(1), CPU).epoch(4)))
    assert all(np.array_equal(a, b) for a, b in zip(given, other, strict=True))


def test_batch_size_moves_only_the_cuts(toy: ModuleType) -> None:
    train = toy.random_interactions()
    small = columns(list(TripletBatches(train, 7, Seeds(1), CPU).epoch(0)))
    large = columns(list(TripletBatches(train, 64, Seeds(1), CPU).epoch(0)))
    assert all(np.array_equal(a, b) for a, b in zip(small, large, strict=True))


def test_pairs_and_triplets_share_the_order(toy: ModuleType) -> None:
    train = toy.random_interactions()
    pairs = next(PairBatches(train, 64, Seeds(1), CPU).epoch(3))
    triplets = next(TripletBatches(train, 64, Seeds(1), CPU).epoch(3))
    assert torch.equal(pairs.users, triplets.users)
    assert torch.equal(pairs.items, triplets.positives)


def test_order_is_uniform() -> None:
    train = Interactions(np.arange(6), np.arange(6), 6, 6)
    source = PairBatches(train, 1, Seeds(0), CPU)
    first = [int(next(source.epoch(epoch)).users) for epoch in range(3000)]
    assert chisquare(np.bincount(first, minlength=6)).pvalue > 1e-4


# User 0 has seen little, user 1 all but one item, user 2 the first items, user 3 the last, user 4 nothing.
SEEN = ([3], [0, 1, 2, 3, 4, 6, 8, 9], [0, 1, 2], [8, 9, 6], [])
CATALOGUE = [0, 1, 2, 3, 4, 5, 6, 8, 9]  # item 7 of ten occurs nowhere


@pytest.mark.parametrize("user", range(5))
def test_negatives_are_exactly_uniform_over_the_unseen(user: int) -> None:
    seen = [*SEEN, [5]]
    users = np.concatenate([[row] * len(items) for row, items in enumerate(seen)]).astype(np.int64)
    items = np.concatenate([items for items in seen if items]).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(users))
    train = Interactions(users[order], items[order], 6, 10)
    generator = torch.Generator().manual_seed(user)
    drawn = UnseenItems(train, CPU).draw(torch.full((40_000,), user), generator).numpy()
    allowed = sorted(set(CATALOGUE) - set(SEEN[user]))
    assert set(drawn) == set(allowed)
    if len(allowed) > 1:
        assert chisquare(np.bincount(drawn, minlength=10)[allowed]).pvalue > 1e-4


def test_negatives_agree_with_a_slow_reference(toy: ModuleType) -> None:
    train = toy.random_interactions(n_users=25, n_items=18, share=0.5, seed=4)
    unseen = UnseenItems(train, CPU)
    users = torch.randint(25, (2000,), generator=torch.Generator().manual_seed(1))
    drawn = unseen.draw(users, torch.Generator().manual_seed(2))
    numbers = torch.randint(1 << 62, users.shape, generator=torch.Generator().manual_seed(2))
    known = set(train.items.tolist())
    for user, number, item in zip(users.tolist(), numbers.tolist(), drawn.tolist(), strict=True):
        free = sorted(known - set(train.items[train.users == user].tolist()))
        assert item == free[number % len(free)]


def test_negatives_are_independent_of_each_other(toy: ModuleType) -> None:
    train = toy.random_interactions()
    drawn = UnseenItems(train, CPU).draw(torch.zeros(20_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    free, place = np.unique(drawn.numpy(), return_inverse=True)
    table = np.zeros((len(free), len(free)))
    np.add.at(table, (place[:-1], place[1:]), 1)
    assert chisquare(table.ravel()).pvalue > 1e-4


def test_user_who_has_seen_everything_is_refused_beforehand() -> None:
    users, items = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 3, 0, 3])
    train = Interactions(users, items, 3, 5)
    with pytest.raises(DataError, match=r"1 users who have seen all 3 items .* row 0"):
        TripletBatches(train, 2, Seeds(0), CPU)
    assert PairBatches(train, 2, Seeds(0), CPU).n_batches == 3


@pytest.mark.parametrize("source", [PairBatches, TripletBatches])
def test_empty_training_part_is_refused(source: type) -> None:
    none = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="training part is empty"):
        source(Interactions(none, none, 3, 4), 2, Seeds(0), CPU)
