"""Products with learned entries: against dense products, and their gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mmrec_bench.graph.weighted import WeightedEdges

N = 7


@pytest.fixture
def pattern() -> sp.csr_matrix:
    """A symmetric pattern with an isolated row."""
    dense = np.random.default_rng(1).random((N, N)) < 0.4
    dense |= dense.T
    dense[3], dense[:, 3] = False, False
    return sp.csr_matrix(dense.astype(np.float32))


def symmetric(pattern: sp.csr_matrix, half: torch.Tensor) -> torch.Tensor:
    """Return entries in the order of the pattern, the same for both directions, from one number a node."""
    rows = np.repeat(np.arange(N), np.diff(pattern.indptr))
    return half[rows] * half[pattern.indices.astype(np.int64)]


def test_products_are_those_of_the_dense_matrix(pattern: sp.csr_matrix) -> None:
    edges, half = WeightedEdges(pattern), torch.rand(N, dtype=torch.double)
    values, x = symmetric(pattern, half), torch.randn(N, 3, dtype=torch.double)
    dense = torch.zeros(N, N, dtype=torch.double)
    rows, cols = pattern.nonzero()
    dense[rows, cols] = values
    torch.testing.assert_close(edges.product(values, x), dense @ x)
    torch.testing.assert_close(edges.sum_of_ends(half), half[rows] + half[cols])
    left = torch.randn(N, 3, dtype=torch.double)
    torch.testing.assert_close(edges.products_of_ends(left, x), (left[rows] * x[cols]).sum(dim=1))


def test_gradients_reach_entries_and_vectors(pattern: sp.csr_matrix) -> None:
    edges = WeightedEdges(pattern)
    half = torch.rand(N, dtype=torch.double, requires_grad=True)
    x = torch.randn(N, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, y: edges.product(symmetric(pattern, h), y), (half, x))
    assert torch.autograd.gradcheck(lambda h: edges.product(symmetric(pattern, h), x.detach()), (half,))
    assert torch.autograd.gradcheck(lambda y: edges.product(symmetric(pattern, half.detach()), y), (x,))


def test_two_products_in_a_row_have_the_right_gradient(pattern: sp.csr_matrix) -> None:
    edges = WeightedEdges(pattern)
    half = torch.rand(N, dtype=torch.double, requires_grad=True)
    x = torch.randn(N, 2, dtype=torch.double)

    def twice(h: torch.Tensor) -> torch.Tensor:
        values = torch.nn.functional.softplus(edges.sum_of_ends(h))
        degrees = edges.product(values, torch.ones(N, 1, dtype=torch.double)).clamp(min=1e-6)
        return edges.product(values, edges.product(values, x) / degrees)

    assert torch.autograd.gradcheck(twice, (half,))


def test_nothing_of_it_is_saved(pattern: sp.csr_matrix) -> None:
    assert not WeightedEdges(pattern).state_dict()
