from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.graph.bipartite import (
    BipartiteGraph,
    edge_weights,
    mean_of_neighbours,
    normalised_interactions,
)


def graph_of(edges: Any) -> BipartiteGraph:
    return BipartiteGraph(edges.users, edges.items, edges.n_users, edges.n_items)


def tables(edges: Any, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(edges.n_users, dim, generator=generator), torch.randn(edges.n_items, dim, generator=generator)


def test_block_is_the_normalised_one(edges: Any) -> None:
    block = normalised_interactions(edges.users, edges.items, edges.n_users, edges.n_items)
    np.testing.assert_allclose(block.toarray(), edges.block(), rtol=1e-6)
    weights = edge_weights(edges.users, edges.items, edges.n_users, edges.n_items)
    np.testing.assert_allclose(weights, edges.block()[edges.users, edges.items])


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3, 5])
def test_propagation_pools_powers(edges: Any, n_layers: int) -> None:
    users, items = tables(edges)
    layer = total = torch.cat((users, items)).double().numpy()
    for _ in range(n_layers):
        layer = edges.adjacency() @ layer
        total = total + layer
    graph, expected = graph_of(edges), {"mean": total / (n_layers + 1), "sum": total, "last": layer}
    for pooling, table in expected.items():
        got = torch.cat(graph.propagate(users, items, n_layers, pooling=pooling)).numpy()  # type: ignore[arg-type]
        np.testing.assert_allclose(got, table, rtol=1e-5, atol=1e-6, err_msg=pooling)
    assert torch.equal(graph.propagate(users, items, n_layers)[0], graph.propagate(users, items, n_layers, "mean")[0])


@pytest.mark.parametrize("pooling", ["mean", "sum", "last"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_gradients_of_propagation(edges: Any, n_layers: int, pooling: Any) -> None:
    graph = graph_of(edges).double()
    users, items = (table.double().requires_grad_() for table in tables(edges, 2))
    assert torch.autograd.gradcheck(lambda u, i: graph.propagate(u, i, n_layers, pooling), (users, items))


@pytest.mark.parametrize("with_self", [True, False])
def test_mean_over_neighbours(edges: Any, with_self: bool) -> None:
    adjacency = (edges.adjacency() > 0) + with_self * np.eye(edges.n_users + edges.n_items)
    got = mean_of_neighbours(edges.users, edges.items, edges.n_users, edges.n_items, with_self=with_self)
    assert got.dtype == np.float32
    expected = adjacency / adjacency.sum(axis=1, keepdims=True).clip(min=1)
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-6)


def test_gradient_through_one_side_alone(edges: Any) -> None:
    graph = graph_of(edges)
    users, items = (table.requires_grad_() for table in tables(edges))
    graph.propagate(users, items, 2)[1].sum().backward()
    n = edges.n_users + edges.n_items
    power = (np.eye(n) + edges.adjacency() + edges.adjacency() @ edges.adjacency()) / 3
    expected = power[edges.n_users :].sum(0)
    assert users.grad is not None
    assert items.grad is not None
    np.testing.assert_allclose(users.grad[:, 0], expected[: edges.n_users], atol=1e-6)
    np.testing.assert_allclose(items.grad[:, 0], expected[edges.n_users :], atol=1e-6)


def test_as_operator_it_maps_items_to_users(edges: Any) -> None:
    _, items = tables(edges)
    np.testing.assert_allclose(graph_of(edges)(items), edges.block() @ items.numpy(), atol=1e-6)


def test_a_graph_without_edges_propagates_nothing() -> None:
    none = np.zeros(0, np.int64)
    graph = BipartiteGraph(none, none, 3, 2)
    users, items = graph.propagate(torch.ones(3, 4), torch.ones(2, 4), 1)
    assert torch.equal(users, torch.full((3, 4), 0.5))
    assert torch.equal(items, torch.full((2, 4), 0.5))


def test_graphs_are_copied_and_moved_but_not_saved(edges: Any) -> None:
    graph = graph_of(edges)
    assert not graph.state_dict()
    assert {buffer.device.type for buffer in copy.deepcopy(graph).to("meta").buffers()} == {"meta"}
    users, items = tables(edges)
    moved = copy.deepcopy(graph).double().propagate(users.double(), items.double(), 2)
    np.testing.assert_allclose(moved[0], graph.propagate(users, items, 2)[0], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(edges: Any) -> None:
    users, items = tables(edges)
    results = []
    for device in ("cpu", "cuda"):
        graph = graph_of(edges).to(device)
        u, i = (table.detach().to(device).requires_grad_() for table in (users, items))
        z_u, z_i = graph.propagate(u, i, 2)
        (z_u.square().sum() + z_i.pow(3).sum()).backward()
        assert u.grad is not None
        assert i.grad is not None
        results.append([t.detach().cpu() for t in (z_u, z_i, u.grad, i.grad)])
    for cpu, cuda in zip(*results, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=1e-5, atol=1e-6)
