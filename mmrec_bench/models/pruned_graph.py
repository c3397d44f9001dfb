"""The user-item graph of models that train on some of its edges, drawn anew for every epoch, and serve on all."""

from __future__ import annotations

from torch import nn

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.graph.bipartite import BipartiteGraph, BipartiteOperator
from mmrec_bench.graph.pruning import EdgeLaw, prune_edges
from mmrec_bench.seeding import Seeds


class PrunedGraph(nn.Module):
    """All edges, and those of an epoch; degrees are counted anew among these.

    Args:
        train: Training interactions, the edges.
        dropout: Share of the edges left out of an epoch, in ``[0, 1)``; 0 keeps all.
        seeds: Random streams of the run; edges hang on seed and epoch alone.

    Attributes:
        full: The graph of all edges, for the export.
        pruned: The graph of the epoch, for the loss; at first that of epoch 0, drawn by degree.
    """

    def __init__(self, train: Interactions, dropout: float, seeds: Seeds) -> None:
        super().__init__()
        self.train_interactions, self.dropout, self.seeds = train, dropout, seeds
        self.full = BipartiteGraph(train.users, train.items, train.n_users, train.n_items)
        self.pruned: BipartiteOperator = self.full
        self.draw(0)

    def draw(self, epoch: int, law: EdgeLaw = "degree") -> None:
        """Draw the edges of an epoch.

        Args:
            epoch: From 0.
            law: See `prune_edges`.
        """
        if not self.dropout:
            return
        train = self.train_interactions
        users, items = prune_edges(
            train.users,
            train.items,
            train.n_users,
            train.n_items,
            self.dropout,
            self.seeds.numpy("edges", epoch),
            law,
        )
        kept = BipartiteGraph(users, items, train.n_users, train.n_items)
        self.pruned = kept.to(self.full.matrix.values.device)
