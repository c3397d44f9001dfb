from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.graph.edges import BipartiteEdges

DIM = 3


@pytest.fixture
def found(edges: Any) -> BipartiteEdges:
    """Edges in a shuffled order, of which the last user and the last item have none."""
    order = np.random.default_rng(0).permutation(len(edges.users))
    return BipartiteEdges(edges.users[order], edges.items[order], edges.n_users + 1, edges.n_items + 1).double()


def tables(found: BipartiteEdges) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.randn(n, DIM, generator=generator, dtype=torch.float64) for n in found.of_users.shape)
    return users, items, torch.randn(len(found.users), generator=generator, dtype=torch.float64)


def dense(found: BipartiteEdges, values: Tensor, fill: float = 0.0) -> Tensor:
    users, items, _ = tables(found)
    matrix = torch.full((len(users), len(items)), fill, dtype=torch.float64)
    matrix[found.users, found.items] = values
    return matrix


def test_products_and_sums_are_those_of_dense_matrices(found: BipartiteEdges) -> None:
    users, items, weights = tables(found)
    matrix = dense(found, weights)
    torch.testing.assert_close(found.products(users, items), (users @ items.T)[found.users, found.items])
    torch.testing.assert_close(found.to_users(weights, items), matrix @ items)
    torch.testing.assert_close(found.to_items(weights, users), matrix.T @ users)


def test_softmax_is_over_the_edges_of_a_node(found: BipartiteEdges) -> None:
    _, _, weights = tables(found)
    logits = 300 * weights  # exponentials of these overflow
    matrix = dense(found, logits, -torch.inf)
    for side, dim in (("users", 1), ("items", 0)):
        expected = torch.softmax(matrix, dim)[found.users, found.items]
        torch.testing.assert_close(found.softmax(logits, side), expected)  # type: ignore[arg-type]


def test_gradients(found: BipartiteEdges) -> None:
    users, items, weights = (table.requires_grad_() for table in tables(found))
    check = torch.autograd.gradcheck
    assert check(found.products, (users, items))
    assert check(found.to_users, (weights, items))
    assert check(found.to_items, (weights, users))
    assert check(lambda logits: found.softmax(logits, "users"), (weights,))
    assert check(lambda logits: found.softmax(logits, "items"), (weights,))
    assert check(lambda column: found.spread(column, "users"), (users[:, 0],))
    assert check(lambda column: found.spread(column, "items"), (items[:, 0],))


def test_edges_are_copied_and_moved_but_not_saved(found: BipartiteEdges) -> None:
    assert not found.state_dict()
    assert {buffer.device.type for buffer in copy.deepcopy(found).to("meta").buffers()} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(found: BipartiteEdges) -> None:
    results = []
    for device in ("cpu", "cuda"):
        moved = copy.deepcopy(found).to(device)
        users, items, weights = (table.detach().to(device).requires_grad_() for table in tables(found))
        shares = moved.softmax(moved.products(users, items) * weights, "items")
        (moved.to_users(shares, items).square().sum() + moved.to_items(shares, users).pow(3).sum()).backward()
        results.append([table.grad.cpu() for table in (users, items, weights) if table.grad is not None])
    for cpu, cuda in zip(*results, strict=True):
        torch.testing.assert_close(cuda, cpu)
