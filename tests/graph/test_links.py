"""Signed propagation against dense matrices: over the whole catalogue, and among the nodes of a session."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Supports, mined_lexicon
from mmrec_bench.graph.links import Links, Normalisation, entries_among
from mmrec_bench.graph.relations import Relations
from mmrec_bench.models.interactive.base import relations_of
from tests.models.interactive.worlds import CPU, Slow, lexicon_of, normalised

BOTH: list[Normalisation] = ["joint", "by-relation"]


class Weighted:
    """A world with random weights: `Links`, and the dense matrices of A+ and A-."""

    def __init__(self, seed: int, inhibition: float, normalisation: Normalisation, plain: bool = False) -> None:
        lexicon, rng = lexicon_of(seed), np.random.default_rng(seed)
        slow = Slow(lexicon)
        self.relations: Relations = relations_of(lexicon)
        n, self.n_items = self.relations.n_nodes, self.relations.n_items
        weights = rng.random((n, n)).astype(np.float32)
        weights += weights.T
        strengths = (rng.random(n) + 0.2).astype(np.float32)
        if plain:
            weights[:], strengths[:] = 1, 1
        pattern = self.relations.improving.tocoo()
        self.raising = slow.improves * weights.astype(np.float64)
        self.lowering = inhibition * slow.clashes * np.outer(strengths, strengths).astype(np.float64)
        self.by_relation = normalisation == "by-relation"
        self.links = Links(self.relations, weights[pattern.row, pattern.col], strengths, inhibition, normalisation, CPU)

    def step(self, nodes: np.ndarray) -> np.ndarray:
        """Return the matrix of one step among some nodes, from the definition."""
        inner = np.ix_(nodes, nodes)
        return normalised(self.raising[inner], self.lowering[inner], self.by_relation)


@pytest.mark.parametrize("normalisation", BOTH)
@pytest.mark.parametrize("inhibition", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_whole_graph_spreads_as_the_dense_matrix_does(
    seed: int, inhibition: float, normalisation: Normalisation
) -> None:
    world = Weighted(seed, inhibition, normalisation)
    n, n_items = world.relations.n_nodes, world.n_items
    rng = np.random.default_rng(9)
    scores, is_open = rng.random((5, n)).astype(np.float32), rng.random((5, n_items)) < 0.7
    is_open[0] = True
    taking_part = np.concatenate([is_open, np.ones((5, n - n_items), bool)], axis=1)
    expected = np.where(taking_part, (scores * taking_part) @ world.step(np.arange(n)).T, 0)
    found = world.links.whole(torch.from_numpy(is_open))(torch.from_numpy(scores))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("normalisation", BOTH)
@pytest.mark.parametrize("inhibition", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_sessions_spread_among_their_own_nodes(seed: int, inhibition: float, normalisation: Normalisation) -> None:
    world = Weighted(seed, inhibition, normalisation)
    n, n_items = world.relations.n_nodes, world.n_items
    rng = np.random.default_rng(4)
    nodes = np.full((4, 8 + 12), -1, np.int64)
    for session in range(4):
        nodes[session, : 8 - session] = np.sort(rng.permutation(n_items)[: 8 - session])
        nodes[session, 8 : 20 - session] = n_items + np.sort(rng.permutation(n - n_items)[: 12 - session])
    scores = np.where(nodes >= 0, rng.random(nodes.shape), 0).astype(np.float32)
    found = world.links.among(nodes)(torch.from_numpy(scores)).numpy()
    for session in range(4):
        real = nodes[session] >= 0
        expected = world.step(nodes[session, real]) @ scores[session, real]
        np.testing.assert_allclose(found[session, real], expected, atol=1e-6)
        assert not found[session, ~real].any()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("normalisation", BOTH)
def test_the_whole_graph_and_a_session_of_all_nodes_agree(normalisation: Normalisation, plain: bool) -> None:
    world = Weighted(7, 1.0, normalisation, plain)
    n = world.relations.n_nodes
    scores = torch.rand(3, n, generator=torch.Generator().manual_seed(0))
    whole = world.links.whole(torch.ones(3, world.n_items, dtype=torch.bool))
    among = world.links.among(np.tile(np.arange(n), (3, 1)))
    torch.testing.assert_close(whole(scores), among(scores), atol=2e-6, rtol=0)


@pytest.mark.parametrize("normalisation", BOTH)
def test_a_node_that_is_related_to_none_keeps_its_score(normalisation: Normalisation) -> None:
    world = Weighted(0, 1.0, normalisation)
    n = world.relations.n_nodes
    alone = np.flatnonzero((world.raising.sum(axis=1) == 0) & (world.lowering.sum(axis=1) == 0))
    assert 0 in alone  # the item without words
    scores = torch.rand(1, n)
    for spread in (
        world.links.whole(torch.ones(1, world.n_items, dtype=torch.bool)),
        world.links.among(np.arange(n)[None]),
    ):
        assert torch.equal(spread(scores)[:, alone], scores[:, alone])


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.3])
@pytest.mark.parametrize("normalisation", BOTH)
def test_rounding_inhibits_nobody(normalisation: Normalisation, strength: float) -> None:
    """Items and terms that agree in three fields agree whatever their strengths; nothing here contradicts anything."""
    words = [[(field, "v") for field in "abc"]] * 4 + [[("d", "w"), ("a", "v")]] * 2
    lexicon = mined_lexicon(ItemTable(words=Words.of(words)), Supports(min_items=1, max_share=1.0))
    relations = relations_of(lexicon)
    n = relations.n_nodes
    strengths = (strength + np.linspace(0.1, 0.9, n) / 3).astype(np.float32)
    links = Links(relations, np.ones(relations.improving.nnz, np.float32), strengths, 1.0, normalisation, CPU)
    scores = torch.rand(1, n)
    expected = torch.from_numpy(normalised(relations.improving.toarray().astype(float), np.zeros((n, n)), True)).float()
    for spread in (
        links.whole(torch.ones(1, relations.n_items, dtype=torch.bool)), links.among(np.arange(n)[None])
    ):  # fmt: skip
        torch.testing.assert_close(spread(scores), scores @ expected.T, atol=1e-5, rtol=0)


def test_entries_among_rows_and_columns_of_sessions() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((9, 7)) * (rng.random((9, 7)) < 0.5)
    rows, cols = np.array([[0, 3, -1], [8, -1, 1]]), np.array([[6, 0, 2, -1], [-1, 5, 4, 3]])
    expected = np.zeros((2, 3, 4))
    for session in range(2):
        for i, row in enumerate(rows[session]):
            for j, col in enumerate(cols[session]):
                if row >= 0 and col >= 0:
                    expected[session, i, j] = dense[row, col]
    session, i, j, values = entries_among(sp.csr_matrix(dense), rows, cols)
    found = np.zeros_like(expected)
    found[session, i, j] = values
    np.testing.assert_array_equal(found, expected)
    assert len(values) == np.count_nonzero(expected)
