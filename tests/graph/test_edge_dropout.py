from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmrec_bench.graph.bipartite import Pooling
from mmrec_bench.graph.edge_dropout import DroppingGraph


@pytest.fixture
def graph(edges: Any) -> DroppingGraph:
    return DroppingGraph(edges.users, edges.items, edges.n_users, edges.n_items)


def tables(graph: DroppingGraph) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    n_users, n_items = graph.matrix.shape
    users, items = torch.randn(n_users, 5, generator=generator), torch.randn(n_items, 5, generator=generator)
    return users.requires_grad_(), items.requires_grad_()


def kept(graph: DroppingGraph, rate: float) -> tuple[Tensor, Tensor]:
    """What takes items to users, and users to items, of the next draw, dense."""
    n_users, n_items = graph.matrix.shape
    with torch.random.fork_rng():
        users, _ = graph.propagate_some(torch.zeros(n_users, n_items), torch.eye(n_items), 1, rate, "last")
    with torch.random.fork_rng():
        _, items = graph.propagate_some(torch.eye(n_users), torch.zeros(n_items, n_users), 1, rate, "last")
    return users, items


def test_without_dropping_it_is_the_whole_graph(graph: DroppingGraph) -> None:
    users, items = tables(graph)
    for found, expected in zip(
        graph.propagate_some(users, items, 3, 0.0), graph.propagate(users, items, 3), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_each_direction_of_an_edge_is_kept_for_itself_and_weighs_more(graph: DroppingGraph) -> None:
    block = graph.matrix.tensor().to_dense()
    n_edges, rounds, rate = int((block > 0).sum()), 400, 0.3
    both = one = 0
    total = torch.zeros_like(block)
    for seed in range(rounds):
        torch.manual_seed(seed)
        to_users, to_items = kept(graph, rate)
        for part in (to_users, to_items.T):
            torch.testing.assert_close(part, torch.where(part > 0, block / (1 - rate), 0.0))
        both += int(((to_users > 0) & (to_items.T > 0)).sum())
        one += int((to_users > 0).sum())
        total += to_users
    n = n_edges * rounds
    assert one / n == pytest.approx(0.7, abs=4.5 * (0.21 / n) ** 0.5)
    assert both / n == pytest.approx(0.49, abs=4.5 * (0.25 / n) ** 0.5)
    torch.testing.assert_close(total / rounds, block, rtol=0.2, atol=0.0)


@pytest.mark.parametrize("pooling", ["mean", "sum", "last"])
@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_values_and_gradients_are_those_of_the_dense_matrix(
    graph: DroppingGraph, n_layers: int, pooling: Pooling
) -> None:
    torch.manual_seed(5)
    to_users, to_items = kept(graph, 0.4)
    assert not torch.equal(to_users > 0, to_items.T > 0)
    n_users, n_items = graph.matrix.shape
    zeros = torch.zeros(n_users, n_users), torch.zeros(n_items, n_items)
    dense = torch.cat((torch.cat((zeros[0], to_users), 1), torch.cat((to_items, zeros[1]), 1)))
    users, items = tables(graph)
    layers = [torch.cat((users, items))]
    for _ in range(n_layers):
        layers.append(dense @ layers[-1])
    stacked = torch.stack(layers)
    expected = {"mean": stacked.mean(0), "sum": stacked.sum(0), "last": layers[-1]}[pooling]
    found = torch.cat(graph.propagate_some(users, items, n_layers, 0.4, pooling))
    torch.testing.assert_close(found, expected)
    probe = torch.randn(found.shape, generator=torch.Generator().manual_seed(4))
    gradients = [torch.autograd.grad((each * probe).sum(), (users, items)) for each in (found, expected)]
    torch.testing.assert_close(*gradients)
