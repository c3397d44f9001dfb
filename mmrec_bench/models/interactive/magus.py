"""MAGUS: queries and items guessed together over several rounds, on a graph of words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.graph.weighted import WeightedEdges
from mmrec_bench.losses import dot
from mmrec_bench.models.base import MODELS, Batch, Citation, GradientModel, LossTerms, Triplets
from mmrec_bench.models.blocks import IdEmbedding, gather
from mmrec_bench.models.interactive.base import ClosedFormSystem, InteractiveContext
from mmrec_bench.models.interactive.propagation import PropagatingSystem, PropagationConfig
from mmrec_bench.row_share import mean_over, n_rows, own_rows
from mmrec_bench.types import FloatArray

PAPER = Citation(
    title="Why Not Together? A Multiple-Round Recommender System for Queries and Items",
    authors="Jin et al.",
    venue="KDD 2025",
    url="https://arxiv.org/abs/2412.10787",
)
RECONSTRUCTED = "a reconstruction: the abstract and summaries of the paper were read, its formulas were not at hand"

SMALL = 1e-6
"""What sums of weights are never below, for nodes without a relation."""

Weighting = Literal["pmi", "uniform"]


class MagusFixedConfig(PropagationConfig):
    """Settings of `MagusFixed`."""

    OF_WEIGHTS: ClassVar[Sequence[str]] = ("weighting",)

    name: Literal["magus-fixed"] = "magus-fixed"
    weighting: Weighting = "pmi"
    """Weight of an improvement: the positive pointwise mutual information of both nodes, by the share of items that
    have all their words, or 1."""


@MODELS.add("magus-fixed", task="interactive", config=MagusFixedConfig, paper=PAPER, deviations=(RECONSTRUCTED,))
class MagusFixed(ClosedFormSystem, PropagatingSystem):
    """MAGUS without its weight trainer: relations have weights that are counted, and inhibitions have weight 1.

    Source: a reconstruction of Jin et al., KDD 2025, https://arxiv.org/abs/2412.10787.
    """

    config: MagusFixedConfig

    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Return counted weights."""
        relations = self.relations
        strengths = np.ones(relations.n_nodes, np.float32)
        if self.config.weighting == "uniform":
            return np.ones(relations.improving.nnz, np.float32), strengths
        n_items, matches = relations.n_items, relations.matches
        share = np.concatenate([np.full(n_items, 1 / n_items), np.diff(matches.indptr) / n_items])
        edges = relations.improving.tocoo()
        together = np.zeros(edges.nnz)
        of_terms = (edges.row >= n_items) & (edges.col >= n_items)
        both = (matches @ matches.T).tocsr()
        together[of_terms] = np.asarray(both[edges.row[of_terms] - n_items, edges.col[of_terms] - n_items]).reshape(-1)
        item, term = np.minimum(edges.row, edges.col), np.maximum(edges.row, edges.col) - n_items
        mixed = ~of_terms
        together[mixed] = np.asarray(matches[term[mixed], item[mixed]]).reshape(-1)
        expected = share[edges.row] * share[edges.col] * n_items
        pmi = np.log(np.maximum(together, 1e-12) / np.maximum(expected, 1e-12))
        return np.maximum(pmi, 0).astype(np.float32), strengths


class MagusConfig(PropagationConfig):
    """Settings of `MAGUS`."""

    OF_WEIGHTS: ClassVar[Sequence[str]] = ("embedding_dim", "n_layers")

    name: Literal["magus"] = "magus"
    embedding_dim: PositiveInt = 64
    """Size d of node vectors."""
    n_layers: PositiveInt = 2
    """Feature propagations in the weight trainer."""


@MODELS.add("magus", task="interactive", config=MagusConfig, paper=PAPER, deviations=(RECONSTRUCTED,))
class MAGUS(GradientModel, PropagatingSystem):
    """Label propagation with weights learned by feature propagation from the histories of offline users.

    ``h^0`` are free vectors of items, words and queries, ``h^{l+1} = LeakyReLU((D+^-1 A+ - inhibition D-^-1 A-) h^l
    Theta_l)``, and h is the mean of all layers: with one D for both relations, inhibitions are so many that nothing is
    left to learn from. An improvement of a and b weighs ``softplus(c + u . (h_a + h_b) / 2)``, the symmetric part of a
    linear form of both vectors; an inhibition weighs ``g_a g_b`` with ``g = softplus(c' + v . h)``, so that the many
    inhibitions need not be written out. Both read ``h^0``. Loss: binary cross-entropy of ``h_user . h_node`` for a
    clicked item and one of its queries, and for a sampled item and one of its queries that the clicked item does not
    match; the vector of a user is the mean over its other items.

    Source: a reconstruction of Jin et al., KDD 2025, https://arxiv.org/abs/2412.10787.

    Shapes: node vectors ``[n_items + n_terms, d]``, Xavier-uniform.
    """

    config: MagusConfig
    batch_kind: type[Batch] = Triplets
    _specified: Tensor
    _counts: Tensor
    _offsets: Tensor
    _terms: Tensor
    _matches: Tensor

    def __init__(self, config: MagusConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        relations, train, dim = self.relations, context.train, config.embedding_dim
        self.nodes = IdEmbedding(relations.n_nodes, dim, "xavier_uniform")
        self.layers = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(config.n_layers))
        self.improvement = _weight_of(dim)
        self.strength = _weight_of(dim) if config.inhibition else None
        self._edges = WeightedEdges(relations.improving)
        self._sharing = SparseOperator(relations.sharing)
        self.register_buffer("_specified", torch.from_numpy(relations.specified), persistent=False)
        self._histories = SparseOperator(train.matrix())
        counts = torch.from_numpy(train.user_counts())
        self.register_buffer("_counts", counts.float(), persistent=False)
        terms = relations.matches.T.tocsr()
        self.register_buffer("_offsets", torch.from_numpy(terms.indptr.astype(np.int64)), persistent=False)
        self.register_buffer("_terms", torch.from_numpy(terms.indices.astype(np.int64)), persistent=False)
        keys = np.sort(
            terms.indices.astype(np.int64)
            + np.repeat(np.arange(terms.shape[0]), np.diff(terms.indptr)) * relations.n_terms
        )
        self.register_buffer("_matches", torch.from_numpy(keys), persistent=False)

    @property
    def item_representation(self) -> nn.Module | None:
        """The vectors of nodes; those of words and queries are among them."""
        return self.nodes

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``items`` and ``queries``: cross-entropy of clicked nodes plus that of sampled ones, each a mean."""
        vectors = self._propagated()
        n_items = self.relations.n_items
        wanted, other = gather(vectors, batch.positives), gather(vectors, batch.negatives)
        others = (self._counts[batch.users] - 1).clamp(min=1).unsqueeze(1)
        users = (self._histories.rows(batch.users, vectors[:n_items]) - wanted) / others
        asked, has_asked = self._query_of(batch.positives)
        missed, has_missed = self._query_of(batch.negatives)
        has_missed &= ~self._matching(batch.positives, missed)
        for_query, for_missed = (dot(users, gather(vectors, n_items + terms)) for terms in (asked, missed))
        of_items = F.softplus(-dot(users, wanted)).mean() + F.softplus(dot(users, other)).mean()
        of_queries = _mean(F.softplus(-for_query), has_asked) + _mean(F.softplus(for_missed), has_missed)
        return {"items": of_items, "queries": of_queries}

    @torch.no_grad()
    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Return the learned weights."""
        improving, strengths = self._weights()
        return improving.cpu().numpy(), strengths.cpu().numpy()

    def _weights(self) -> tuple[Tensor, Tensor]:
        vectors = self.nodes.all()
        improving = F.softplus(self._edges.sum_of_ends(self.improvement(vectors).squeeze(1)) / 2)
        if self.strength is None:
            return improving, vectors.new_ones(len(vectors))
        return improving, F.softplus(self.strength(vectors).squeeze(1))

    def _propagated(self) -> Tensor:
        vectors = self.nodes.all()
        improving, strengths = self._weights()
        column = vectors.new_ones(len(vectors), 1)
        raising = self._edges.product(improving, column).clamp(min=SMALL)
        lowering = self._inhibited(strengths, column).clamp(min=SMALL)
        layers = [vectors]
        for layer in self.layers:
            moved = self._edges.product(improving, vectors) / raising
            if self.config.inhibition:
                moved = moved - self.config.inhibition * self._inhibited(strengths, vectors) / lowering
            vectors = F.leaky_relu(layer(moved))
            layers.append(vectors)
        return torch.stack(layers).mean(dim=0)

    def _inhibited(self, strengths: Tensor, x: Tensor) -> Tensor:
        """Return ``A- x`` without writing A- out; float32 ``[n, d]``."""
        n_items, scaled = self.relations.n_items, strengths.unsqueeze(1) * x
        items, terms = self._specified[:n_items], self._specified[n_items:]
        from_items, from_terms = items.T @ scaled[:n_items], terms.T @ scaled[n_items:]
        meeting = torch.cat((items @ from_terms, terms @ (from_items + from_terms)))
        shared: Tensor = self._sharing(scaled)
        return strengths.unsqueeze(1) * (meeting - shared)

    def _query_of(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a term that each item matches, and say whether there is one."""
        starts = self._offsets[items]
        counts = self._offsets[items + 1] - starts
        chance = own_rows(torch.rand(n_rows(items), device=items.device))
        drawn = (chance * counts).long().clamp(max=(counts - 1).clamp(min=0))
        last = max(len(self._terms) - 1, 0)
        return self._terms[(starts + drawn).clamp(max=last)], counts > 0

    def _matching(self, items: Tensor, terms: Tensor) -> Tensor:
        keys = items * self.relations.n_terms + terms
        found = torch.searchsorted(self._matches, keys).clamp(max=len(self._matches) - 1)
        return self._matches.index_select(0, found) == keys


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return mean_over((values * counted).sum(), counted.sum())


def _weight_of(dim: int) -> nn.Linear:
    """Return a linear form whose softplus is 1 for a zero vector."""
    form = nn.Linear(dim, 1)
    nn.init.zeros_(form.weight)
    nn.init.constant_(form.bias, math.log(math.e - 1))
    return form
