"""Both back-ends against a slow oracle, on worlds full of ties."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_bench.errors import DataError, ModelError, ProtocolError
from mmrec_bench.retrieval import faiss_backend
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations, Retriever, tie_ranks
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever

KINDS = ["integers", "constant", "popularity", "shared", "zero-users", "zero-items", "few-values"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 5, 50, 300])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.6])
def test_equals_the_oracle_under_ties(retriever, world, slow_top_k, scores_of, kind, k, density) -> None:
    vectors, exclude, ties = world(kind, density=density)
    users = np.random.default_rng(1).permutation(40)[:33]
    rankings = retriever.top_k(vectors, users, k, exclude, ties)
    scores = scores_of(vectors)
    expected = slow_top_k(scores, users, k, exclude, ties)
    assert np.array_equal(rankings.items, expected)
    wanted = np.where(expected >= 0, scores[users[:, None], expected], -np.inf)
    assert np.array_equal(rankings.scores, wanted.astype(np.float32))
    assert rankings.items.dtype == np.int64
    assert rankings.scores.dtype == np.float32
    assert sum(rankings.served.values()) == len(users)


@settings(max_examples=60)
@given(st.data())
def test_any_small_world_equals_the_oracle(data: st.DataObject) -> None:
    n_users, n_items, d = (data.draw(st.integers(1, high)) for high in (6, 90, 3))
    value = st.integers(-1, 1)
    draw = lambda n: np.array(data.draw(st.lists(st.lists(value, min_size=d, max_size=d), min_size=n, max_size=n)))  # noqa: E731
    users, items = draw(n_users).astype(np.float32), draw(n_items).astype(np.float32)
    barred = np.array(data.draw(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items)))
    barred = barred.reshape(n_users, n_items)
    exclude = Exclusions(np.concatenate([[0], np.cumsum(barred.sum(1))]), np.nonzero(barred)[1])
    ties = np.array(data.draw(st.permutations(range(n_items))))
    k = data.draw(st.integers(1, n_items))
    scores = users.astype(np.float64) @ items.T.astype(np.float64)
    expected = np.full((n_users, k), -1)
    for user in range(n_users):
        best = sorted(np.flatnonzero(~barred[user]), key=lambda item: (-scores[user, item], ties[item]))[:k]
        expected[user, : len(best)] = best
    vectors = Representations(torch.from_numpy(users), torch.from_numpy(items))
    for retriever in (FaissRetriever(), TorchRetriever()):
        assert np.array_equal(retriever.top_k(vectors, np.arange(n_users), k, exclude, ties).items, expected)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("d", [1, 3, 64, 100])
def test_real_vectors_rank_like_float64_up_to_rounding(retriever, slow_top_k, scores_of, close_to_best, similarity, d):
    rng = np.random.default_rng(d)
    users, items = (torch.from_numpy(rng.normal(size=(n, d)).astype(np.float32)) for n in (50, 2000))
    users[3] = items[5] = 0
    vectors = Representations(users, items, similarity)
    ties, scores = rng.permutation(2000), scores_of(vectors)
    everyone = np.setdiff1d(np.arange(50), [3])
    rankings = retriever.top_k(vectors, everyone, 30, Exclusions.none(50), ties)
    close_to_best(rankings, scores, slow_top_k(scores, everyone, 30, Exclusions.none(50), ties), 1e-5 * np.sqrt(d))
    zero_user = retriever.top_k(vectors, np.array([3]), 30, Exclusions.none(50), ties)
    assert np.array_equal(zero_user.items[0], np.argsort(ties)[:30])


def test_cosine_ignores_lengths_even_of_tiny_vectors(retriever) -> None:
    items = torch.tensor([[3.0, 0.0], [1e-30, 0.0], [2e20, 0.0], [0.0, 1.0], [0.0, 0.0]])
    rankings = retriever.top_k(
        Representations(torch.tensor([[1e-25, 0.0]]), items, "cosine"), np.array([0]), 5, Exclusions.none(1),
        np.array([2, 0, 1, 4, 3]),
    )  # fmt: skip
    assert rankings.items.tolist() == [[1, 2, 0, 4, 3]]
    np.testing.assert_allclose(rankings.scores, [[1, 1, 1, 0, 0]], atol=1e-7)


def test_fifty_items_with_one_real_vector_stand_in_tie_order_wherever_their_columns_are(retriever) -> None:
    """Matrix products may round copies of a vector differently by column; the ranking must not show it."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(7001, 33)).astype(np.float32)
    copies = np.concatenate([rng.choice(7000, 49, replace=False), [7000]])
    items[copies] = 2 * items[copies[0]]
    users = (items[copies[0]] + rng.normal(size=(200, 33))).astype(np.float32)
    ties = rng.permutation(7001)
    vectors = Representations(torch.from_numpy(users), torch.from_numpy(items))
    in_order = copies[np.argsort(ties[copies])]
    for batch in (np.arange(200), np.arange(1), np.arange(7)):
        lists = retriever.top_k(vectors, batch, 60, Exclusions.none(200), ties)
        for row in lists.items:
            found = row[np.isin(row, copies)]
            assert np.array_equal(found, in_order[: len(found)])
    assert len(found) == 50


def test_users_who_have_seen_all_but_three_items_are_padded(retriever) -> None:
    n_items = 2600
    left = np.array([5, 100, 2500])
    seen = np.setdiff1d(np.arange(n_items), left)
    exclude = Exclusions(np.array([0, 0, len(seen), len(seen) + n_items]), np.concatenate([seen, np.arange(n_items)]))
    vectors = Representations(torch.ones(3, 1), torch.arange(float(n_items))[:, None])
    rankings = retriever.top_k(vectors, np.array([2, 1, 0]), 5, exclude, np.arange(n_items))
    assert rankings.items.tolist() == [[-1] * 5, [2500, 100, 5, -1, -1], [2599, 2598, 2597, 2596, 2595]]
    assert (rankings.scores[0] == -np.inf).all()
    assert rankings.scores[1].tolist() == [2500, 100, 5, -np.inf, -np.inf]


def test_permuting_item_rows_permutes_the_lists(retriever, world) -> None:
    vectors, exclude, _ = world("few-values")
    ids = np.array([f"item-{row}" for row in range(300)])
    shuffled = np.random.default_rng(3).permutation(300)
    place = np.argsort(shuffled)
    moved = [np.sort(place[exclude.items[a:b]]) for a, b in zip(exclude.offsets[:-1], exclude.offsets[1:], strict=True)]
    before = retriever.top_k(vectors, np.arange(40), 20, exclude, tie_ranks(ids, 7))
    after = retriever.top_k(
        Representations(vectors.users, vectors.items[torch.from_numpy(shuffled)]), np.arange(40), 20,
        Exclusions(exclude.offsets, np.concatenate(moved)), tie_ranks(ids[shuffled], 7),
    )  # fmt: skip
    assert np.array_equal(before.items, shuffled[after.items])


@pytest.fixture
def threads() -> Callable[[int], None]:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()

    def choose(n: int) -> None:
        torch.set_num_threads(n)
        faiss.omp_set_num_threads(n)

    yield choose
    torch.set_num_threads(before[0])
    faiss.omp_set_num_threads(before[1])


def test_batch_size_threads_and_back_end_change_nothing_but_rounding(threads, scores_of) -> None:
    rng = np.random.default_rng(5)
    users, items = (torch.from_numpy(rng.normal(size=(n, 64)).astype(np.float32)) for n in (24, 1500))
    barred = rng.random((24, 1500)) < 0.02
    exclude = Exclusions(np.concatenate([[0], np.cumsum(barred.sum(1))]), np.nonzero(barred)[1])
    vectors, ties = Representations(users, items), rng.permutation(1500)
    scores = scores_of(vectors)
    runs: list[Rankings] = []
    for n_threads in (1, 2):
        threads(n_threads)
        for retriever in (FaissRetriever(), TorchRetriever()):
            for batch in (1, 7, 24):
                parts = [
                    retriever.top_k(vectors, np.arange(start, min(start + batch, 24)), 50, exclude, ties)
                    for start in range(0, 24, batch)
                ]
                items_ = np.concatenate([part.items for part in parts])
                runs.append(Rankings(np.arange(24), items_, np.concatenate([part.scores for part in parts]), {}))
    for run in runs[1:]:
        np.testing.assert_allclose(run.scores, runs[0].scores, atol=2e-5, rtol=0)
        moved = run.items != runs[0].items
        assert moved.mean() < 1e-3
        rows, places = np.nonzero(moved)
        gap = np.abs(scores[rows, run.items[rows, places]] - scores[rows, runs[0].items[rows, places]])
        assert (gap < 2e-5).all()


@pytest.mark.parametrize("one_by_one", [False, True])
def test_reduced_precision_of_training_does_not_reach_retrieval(scores_of, one_by_one: bool) -> None:
    rng = np.random.default_rng(6)
    users, items = (torch.from_numpy(rng.normal(size=(n, 128)).astype(np.float32)) for n in (64, 512))
    vectors = Representations(users, items)
    switches = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    seen: list[str] = []

    class Watched(TableScorer):
        def scores(self, users: torch.Tensor) -> torch.Tensor:
            seen.extend(switch.fp32_precision for switch in switches)
            return super().scores(users)

    before = [switch.fp32_precision for switch in switches]
    try:
        if one_by_one:
            for switch, reduced in zip(switches, ("tf32", "bf16"), strict=True):
                switch.fp32_precision = reduced
        else:
            torch.set_float32_matmul_precision("medium")
        rankings = TorchRetriever().top_k(vectors, np.arange(64), 10, Exclusions.none(64), np.arange(512))
        TorchRetriever().top_k(Watched(users @ items.T), np.arange(64), 10, Exclusions.none(64), np.arange(512))
        assert [switch.fp32_precision for switch in switches] == ["tf32", "bf16"]
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
    assert set(seen) == {"ieee"}
    expected = np.take_along_axis(scores_of(vectors), rankings.items, axis=1)
    np.testing.assert_allclose(rankings.scores, expected, atol=1e-4)


class TableScorer:
    """A model that only scores."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table

    @property
    def n_users(self) -> int:
        return len(self.table)

    @property
    def n_items(self) -> int:
        return self.table.shape[1]

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.table if len(users) == len(self.table) else self.table[users]


def test_a_scorer_is_ranked_and_left_unharmed(world, slow_top_k, scores_of) -> None:
    vectors, exclude, ties = world("shared")
    table = torch.from_numpy(scores_of(vectors).astype(np.float32))
    kept = table.clone()
    rankings = TorchRetriever().top_k(TableScorer(table), np.arange(40), 20, exclude, ties)
    assert np.array_equal(rankings.items, slow_top_k(kept.double().numpy(), np.arange(40), 20, exclude, ties))
    assert torch.equal(table, kept)
    turned = TorchRetriever().top_k(TableScorer(table.T.contiguous().T), np.arange(40), 20, exclude, ties)
    assert np.array_equal(turned.items, rankings.items)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    table = torch.zeros(3, 4)
    table[1, 2] = bad
    with pytest.raises(ModelError, match="finite"):
        TorchRetriever().top_k(TableScorer(table), np.arange(3), 2, Exclusions.none(3), np.arange(4))


def test_scores_of_a_wrong_shape_or_type_are_refused() -> None:
    for table in (torch.zeros(3, 4, dtype=torch.float64), torch.zeros(3, 5)):
        scorer = TableScorer(table)
        scorer.__class__ = type("Wrong", (TableScorer,), {"n_items": 4})
        with pytest.raises(ModelError, match="float32"):
            TorchRetriever().top_k(scorer, np.arange(3), 2, Exclusions.none(3), np.arange(4))


def test_faiss_refuses_a_scorer_and_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"TableScorer.*retriever\.backend to torch"):
        FaissRetriever().top_k(TableScorer(torch.zeros(3, 4)), np.arange(3), 2, Exclusions.none(3), np.arange(4))


def test_users_with_more_ties_than_fetched_are_served_dense_and_counted(world) -> None:
    vectors, exclude, ties = world("zero-users")
    rankings = FaissRetriever().top_k(vectors, np.arange(40), 5, exclude, ties)
    assert rankings.served == {"faiss-cpu": 20, "torch-cpu": 20}


@pytest.mark.parametrize("k", [1, 10, 50, 400])
def test_enough_is_fetched_for_users_who_have_seen_their_very_best(k, scores_of, slow_top_k) -> None:
    rng = np.random.default_rng(8)
    users, items = (torch.from_numpy(rng.normal(size=(n, 16)).astype(np.float32)) for n in (64, 900))
    vectors = Representations(users, items)
    scores, lengths = scores_of(vectors), np.arange(64) * 7
    best = np.argsort(-scores, axis=1)
    seen = [np.sort(best[user, :length]) for user, length in enumerate(lengths)]
    exclude = Exclusions(np.concatenate([[0], np.cumsum(lengths)]), np.concatenate(seen))
    rankings = FaissRetriever().top_k(vectors, np.arange(64), k, exclude, np.arange(900))
    assert rankings.served == {"faiss-cpu": 64}
    assert np.array_equal(rankings.items, slow_top_k(scores, np.arange(64), k, exclude, np.arange(900)))


def test_lists_too_long_for_a_gpu_are_served_dense_and_counted(world, monkeypatch) -> None:
    """The limit of faiss on a GPU, played through with the CPU index."""
    monkeypatch.setattr(faiss_backend, "WIDEST_ON_GPU", 64)
    monkeypatch.setattr(FaissRetriever, "server", "faiss-cuda")
    retriever = FaissRetriever()
    retriever._gpu = object()
    monkeypatch.setattr(retriever._faiss, "index_cpu_to_gpu", lambda gpu, device, index: index, raising=False)
    vectors, _, ties = world("integers")
    barred = np.zeros((40, 300), bool)
    barred[:8, :150] = True
    exclude = Exclusions(np.concatenate([[0], np.cumsum(barred.sum(1))]), np.nonzero(barred)[1])
    rankings = retriever.top_k(vectors, np.arange(40), 10, exclude, ties)
    assert rankings.served["torch-cpu"] >= 8
    assert rankings.served["faiss-cuda"] <= 32
    expected = TorchRetriever().top_k(vectors, np.arange(40), 10, exclude, ties)
    assert np.array_equal(rankings.items, expected.items)


@pytest.mark.parametrize("k", [0, -1, 301])
def test_k_outside_of_the_catalogue_is_refused(retriever, world, k) -> None:
    vectors, exclude, ties = world("integers")
    with pytest.raises(ProtocolError, match=rf"1 <= k <= n_items \(300\); got {k}\. Lower protocol\.cutoffs"):
        retriever.top_k(vectors, np.arange(40), k, exclude, ties)


def test_arguments_that_do_not_fit_each_other_are_refused(retriever, world) -> None:
    vectors, exclude, ties = world("integers")
    for users in (np.array([40]), np.array([-1]), np.array([[0]])):
        with pytest.raises(DataError, match=r"0\.\.39"):
            retriever.top_k(vectors, users, 5, exclude, ties)
    with pytest.raises(DataError, match="39 users; the model has 40"):
        retriever.top_k(vectors, np.arange(3), 5, Exclusions.none(39), ties)
    for wrong in (ties[:-1], np.zeros_like(ties), ties + 1):
        with pytest.raises(DataError, match="permutation"):
            retriever.top_k(vectors, np.arange(3), 5, exclude, wrong)


def test_vectors_that_overflow_or_are_empty_are_refused(retriever) -> None:
    huge = Representations(torch.full((2, 4), 1e20), torch.full((3, 4), -1e20))
    with pytest.raises(ModelError, match=r"overflow.*1e\+20"):
        retriever.top_k(huge, np.arange(2), 1, Exclusions.none(2), np.arange(3))
    with pytest.raises(ModelError, match="no column"):
        retriever.top_k(
            Representations(torch.zeros(2, 0), torch.zeros(3, 0)), np.arange(2), 1, Exclusions.none(2), np.arange(3)
        )


def test_no_users_give_no_lists(retriever: Retriever, world) -> None:
    vectors, exclude, ties = world("integers")
    rankings = retriever.top_k(vectors, np.zeros(0, np.int64), 5, exclude, ties)
    assert rankings.items.shape == (0, 5)
    assert rankings.served == {}


def test_vectors_that_carry_gradients_are_ranked(retriever: Retriever) -> None:
    vectors = Representations(torch.ones(2, 1, requires_grad=True), torch.arange(4.0)[:, None].requires_grad_())
    assert retriever.top_k(vectors, np.arange(2), 2, Exclusions.none(2), np.arange(4)).items.tolist() == [[3, 2]] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("backend", [FaissRetriever, TorchRetriever])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_lists(backend, world, kind) -> None:
    vectors, exclude, ties = world(kind)
    expected = TorchRetriever().top_k(vectors, np.arange(40), 20, exclude, ties)
    on_gpu = Representations(vectors.users.cuda(), vectors.items.cuda())
    rankings = backend(torch.device("cuda")).top_k(on_gpu, np.arange(40), 20, exclude, ties)
    assert np.array_equal(rankings.items, expected.items)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", [FaissRetriever, TorchRetriever])
def test_a_gpu_ranks_beyond_the_longest_list_of_faiss(backend) -> None:
    vectors = Representations(torch.ones(3, 1), torch.arange(5000.0)[:, None])
    rankings = backend(torch.device("cuda")).top_k(vectors, np.arange(3), 3000, Exclusions.none(3), np.arange(5000))
    assert (rankings.items == np.arange(4999, 1999, -1)).all()
    assert rankings.served == {"torch-cuda": 3}
