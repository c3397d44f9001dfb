"""What models of collaborative filtering share: how users and items start, their graph, and losses over triplets."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.graph.bipartite import BipartiteGraph
from mmrec_bench.losses import RegForm, batch_l2, bpr, dot
from mmrec_bench.models.base import Triplets
from mmrec_bench.models.blocks import IdEmbedding, ItemHost, gather


def id_tables(train: Interactions, dim: int) -> tuple[IdEmbedding, IdEmbedding]:
    """Return tables of users ``[n_users, d]`` and of items ``[n_items, d]``, Xavier-uniform each by its own fans."""
    return IdEmbedding(train.n_users, dim, "xavier_uniform"), IdEmbedding(train.n_items, dim, "xavier_uniform")


def triplet_bpr(users: Tensor, items: Tensor, batch: Triplets) -> Tensor:
    """Return `bpr` of inner products in a batch.

    Args:
        users: Final vectors of all users, float32 ``[n_users, d]``.
        items: Final vectors of all items, float32 ``[n_items, d]``.
        batch: Users, positives and negatives.
    """
    liking = gather(users, batch.users)
    positives, negatives = gather(items, torch.cat((batch.positives, batch.negatives))).chunk(2)
    return bpr(dot(liking, positives), dot(liking, negatives))


def start_l2(host: ItemHost, item_table: Tensor, batch: Triplets, form: RegForm = "squared") -> Tensor:
    """Return `batch_l2` of the rows of u, i and j before propagation.

    Args:
        host: The model, for its table of users.
        item_table: What `ItemHost.items` gave in this step, float32 ``[n_items, d]``.
        batch: Users, positives and negatives.
        form: See `batch_l2`.
    """
    of_items = gather(item_table, torch.cat((batch.positives, batch.negatives)))
    return batch_l2(host.users.rows(batch.users), *of_items.chunk(2), form=form)


class CollaborativeModel(ItemHost):
    """Tables of users and items, and the normalised user-item graph that they are propagated on.

    Args:
        train: Training interactions, the edges.
        dim: Size d of user and item vectors.
    """

    def __init__(self, train: Interactions, dim: int) -> None:
        super().__init__()
        self.users, self.items = id_tables(train, dim)
        self.graph = BipartiteGraph(train.users, train.items, train.n_users, train.n_items)
