"""Propagation against an independent implementation: torch-geometric's LGConv and EdgeIndex, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import LGConv

from mmrec_bench.graph.bipartite import BipartiteGraph

N_USERS, N_ITEMS, DIM = 13, 9, 5


@pytest.fixture
def edges() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.3)
    return users.astype(np.int64), items.astype(np.int64)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 4])
def test_mean_of_layers_agrees_with_lgconv(edges: tuple[np.ndarray, np.ndarray], n_layers: int) -> None:
    users, items = edges
    forward = torch.tensor(np.stack([users, items + N_USERS]))
    edge_index = torch.cat([forward, forward.flip(0)], dim=1)
    table = torch.randn(N_USERS + N_ITEMS, DIM, generator=torch.Generator().manual_seed(0))

    theirs = table.clone().requires_grad_()
    layers = [theirs]
    for _ in range(n_layers):
        layers.append(LGConv()(layers[-1], edge_index))
    expected = torch.stack(layers).mean(0)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()

    ours = table.clone().requires_grad_()
    graph = BipartiteGraph(users, items, N_USERS, N_ITEMS)
    found = torch.cat(graph.propagate(ours[:N_USERS], ours[N_USERS:], n_layers))
    (found * weight).sum().backward()

    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_one_product_agrees_with_edge_index(edges: tuple[np.ndarray, np.ndarray]) -> None:
    users, items = edges
    values = 1.0 / np.sqrt(np.bincount(users)[users] * np.bincount(items, minlength=N_ITEMS)[items])
    matrix = EdgeIndex(torch.tensor(np.stack([users, items])), sparse_size=(N_USERS, N_ITEMS), sort_order="row")
    table = torch.randn(N_ITEMS, DIM, generator=torch.Generator().manual_seed(1))
    expected = matrix.matmul(table, torch.tensor(values, dtype=torch.float32))
    found = BipartiteGraph(users, items, N_USERS, N_ITEMS)(table)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
