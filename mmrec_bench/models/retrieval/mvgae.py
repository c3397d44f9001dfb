"""MVGAE: variational graph auto-encoders of every modality and of identities, fused as a product of experts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench import row_share
from mmrec_bench.graph.bipartite import mean_of_neighbours
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    FeatureProjection,
    IdEmbedding,
    ItemHost,
    directions,
    feature_tables,
    gather,
    initialise,
)
from mmrec_bench.models.last_batch import ScoreFrom, ranking_vectors
from mmrec_bench.models.nodes import linear, side_by_side
from mmrec_bench.retrieval.base import Representations


class MVGAEConfig(ModelConfig):
    """Settings of `MVGAE`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "kl_weight": 0.1,
        "item_offset": False,
        "double_sigmoid": True,
        "shared_hard_negative": True,
        "train_free_tensors": False,
        "log_base": 2,
        "reduction": "sum",
        "score_from": "last-batch",
    }

    name: Literal["mvgae"] = "mvgae"
    embedding_dim: PositiveInt = 64
    """Size d of the vectors of each view, of the fused ones, and of identities."""
    hidden_dim: PositiveInt = 128
    """Size of what enters the graph: preferences, projected features, projected identities."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of values left out after each convolution in training."""
    noise: NonNegativeFloat = 0.1
    """Factor of the noise by which vectors are sampled in training."""
    kl_weight: NonNegativeFloat = 3.4e-5
    """Weight of the divergence from the normal distribution; the default is the released 0.1 times ln 2 over a batch of
    2048, which is the same beside a mean of natural logarithms."""
    item_offset: bool = True
    """Whether the loss reads items where they stand, after the users; the released port forgets the offset, and pulls
    at users, and at the first items, instead."""
    double_sigmoid: bool = False
    """Whether scores pass through a sigmoid before their difference does, as released."""
    shared_hard_negative: bool = False
    """Whether every pair is held against the best scored of all negatives of the batch, as released, or its own."""
    train_free_tensors: bool = True
    """Whether preferences and identities are trained; released code never registers them, so they stay random."""
    log_base: Literal["e", 2] = "e"
    """Base of the logarithm in the ranking loss."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether the ranking loss is the mean over the batch, or its sum, as released."""
    score_from: ScoreFrom = "fresh"
    """What users and items are ranked by; released code keeps vectors of the last training batch."""


@MODELS.add(
    "mvgae",
    task="retrieval",
    config=MVGAEConfig,
    paper=Citation(
        title="Multi-Modal Variational Graph Auto-Encoder for Recommendation Systems",
        authors="Yi, Chen",
        venue="IEEE Transactions on Multimedia 2021",
        url="https://ieeexplore.ieee.org/document/9535249",
    ),
    deviations=(
        "Layers that the released code registers and never uses are left out.",
        "Any modalities; the released code needs images and texts.",
        "All experts are multiplied at once; the released code multiplies them one after another, with 1e-8 added to "
        "each variance.",
    ),
    uses_features=True,
)
class MVGAE(ItemHost):
    """Scores ``y_ui = s(mu_u) . s(mu_i)`` with s the sigmoid and mu the fused means.

    - Views: one of each modality, and one of identities. All start at ``x = norm([p ; W f + b])``, p free preferences
      of users, f features or identities of items.
    - ``conv(x) = dropout(norm(M x W + b))``, M the mean over a node and its neighbours in the user-item graph. Then ``x
      <- leaky(G leaky(conv(x)))``, and mean and logarithm of the variance are ``G' leaky(conv'(x)) + leaky(V x)`` each,
      with maps of their own.
    - Fusion, a product of experts: views weigh in by their precisions, which add up.

    Loss: sums over the fused view and all others of ``bpr(s(z))`` and of ``kl_weight`` times the divergence from the
    normal distribution, a mean over nodes; ``z = mu + noise * sigma * eps`` in training, with logarithms of variances
    cut at 10. An item without a modality has a learned missing vector as its projection. Convolutions of all views pass
    through the graph side by side.
    Source: Yi and Chen, IEEE Transactions on Multimedia 2021, https://ieeexplore.ieee.org/document/9535249.

    Shapes: p ``[n_users, h]`` a view, identities ``[n_items, d]``, and W of the first projections ``[h, D]``, of
    convolutions ``[h, d]`` and ``[d, d]``, V and G ``[d, d]``: all Xavier-normal. Biases of convolutions uniform in
    ``+-1 / sqrt(n_in)``, others torch's default. Raw features constant.
    """

    def __init__(self, config: MVGAEConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        train, tables = context.train, feature_tables("mvgae", context)
        self.n_users, hidden, trainable = train.n_users, config.hidden_dim, config.train_free_tensors
        self.users = IdEmbedding(train.n_users, hidden, "xavier_normal", trainable=trainable)
        self.items = IdEmbedding(train.n_items, config.embedding_dim, "xavier_normal", trainable=trainable)
        self.identities = linear(config.embedding_dim, hidden, "xavier_normal")
        self.preferences = nn.ModuleList(
            IdEmbedding(train.n_users, hidden, "xavier_normal", trainable=trainable) for _ in tables
        )
        self.contents = nn.ModuleList(FeatureProjection(table, hidden, initialiser="xavier_normal") for table in tables)
        self.encoders = nn.ModuleList(GaussianEncoder(hidden, config.embedding_dim) for _ in range(len(tables) + 1))
        self.graph = SparseOperator(
            mean_of_neighbours(train.users, train.items, train.n_users, train.n_items, with_self=True)
        )
        self.ranked_by = ranking_vectors(config.score_from, train.n_users, train.n_items, config.embedding_dim)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``kl``."""
        ranking, divergence = [], []
        views = self._encode(self.training)
        fused = product_of_experts(views)
        self.ranked_by.keep(lambda: self._squashed(fused[0]))
        for mean, log_variance in (*views, fused):
            bounded = log_variance.clamp(max=10.0)
            sampled = mean
            if self.training:
                sampled = mean + self.config.noise * torch.randn_like(mean) * (bounded / 2).exp()
            ranking.append(self._ranking(sampled, batch))
            divergence.append(-0.5 * (1 + bounded - mean.square() - bounded.exp()).sum(dim=1).mean())
        terms = {"bpr": torch.stack(ranking).sum()}
        if self.config.kl_weight:
            terms["kl"] = self.config.kl_weight * torch.stack(divergence).sum()
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return squashed fused means of all users and items."""
        return self.ranked_by.or_fresh(self._fresh)

    def _fresh(self) -> Representations:
        mean, _ = product_of_experts(self._encode(training=False))
        return Representations(*self._squashed(mean))

    def _squashed(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of users and of items that rank."""
        vectors = torch.sigmoid(mean)
        return vectors[: self.n_users], vectors[self.n_users :]

    def _ranking(self, nodes: Tensor, batch: Triplets) -> Tensor:
        """Return the ranking loss of one view from its nodes ``[N, d]``."""
        config, offset = self.config, self.n_users if self.config.item_offset else 0
        users, positives, negatives = (
            torch.sigmoid(gather(nodes, ids))
            for ids in (batch.users, offset + batch.positives, offset + batch.negatives)
        )
        liked = dot(users, positives)
        if config.shared_hard_negative:
            other = (users @ row_share.all_rows(negatives).T).amax(dim=1)
        else:
            other = dot(users, negatives)
        if config.double_sigmoid:
            liked, other = liked.sigmoid(), other.sigmoid()
        loss = bpr(liked, other) * (row_share.n_rows(batch.users) if config.reduction == "sum" else 1)
        return loss / math.log(2) if config.log_base == 2 else loss

    def _encode(self, training: bool) -> list[tuple[Tensor, Tensor]]:
        """Return mean and logarithm of the variance of every view, ``[N, d]`` each."""
        preferences = [*cast(Iterable[IdEmbedding], self.preferences), self.users]
        contents = [content.all() for content in cast(Iterable[FeatureProjection], self.contents)]
        contents.append(self.identities(self.items.all()))
        starts = [directions(torch.cat((p.all(), rows))) for p, rows in zip(preferences, contents, strict=True)]
        encoders = list(cast(Iterable[GaussianEncoder], self.encoders))
        heard = self._convolved(starts, [encoder.first for encoder in encoders], training)
        nodes = [F.leaky_relu(encoder.merge(x)) for encoder, x in zip(encoders, heard, strict=True)]
        heads = [head for encoder in encoders for head in (encoder.mean, encoder.log_variance)]
        nodes = [x for x in nodes for _ in range(2)]
        heard = self._convolved(nodes, [head.convolution for head in heads], training)
        found = [head(*parts) for head, *parts in zip(heads, heard, nodes, strict=True)]
        return list(zip(found[::2], found[1::2], strict=True))

    def _convolved(self, nodes: Sequence[Tensor], layers: Sequence[Convolution], training: bool) -> list[Tensor]:
        """Return one convolution of each table, after its non-linearity."""
        heard = side_by_side(self.graph, [x @ layer.weight for layer, x in zip(layers, nodes, strict=True)])
        units = [directions(part + layer.bias) for layer, part in zip(layers, heard, strict=True)]
        return [F.leaky_relu(F.dropout(unit, self.config.dropout, training)) for unit in units]


def product_of_experts(experts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return mean and logarithm of the variance of the product of some normal densities, element by element.

    Args:
        experts: Mean and logarithm of the variance of each, of one shape.
    """
    means, logs = (torch.stack(parts) for parts in zip(*experts, strict=True))
    return (torch.softmax(-logs, dim=0) * means).sum(dim=0), -torch.logsumexp(-logs, dim=0)


class Convolution(nn.Module):
    """Weight and bias of one convolution.

    Args:
        n_in: Size of what enters.
        n_out: Size of what leaves.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        initialise(self.weight, "xavier_normal")
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-(n_in**-0.5), n_in**-0.5))


class Head(nn.Module):
    """What makes means, or logarithms of variances, of nodes ``[N, d]``: a convolution, and a map beside it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = Convolution(dim, dim)
        self.output = linear(dim, dim, "xavier_normal")
        self.own = linear(dim, dim, "xavier_normal")

    def forward(self, heard: Tensor, x: Tensor) -> Tensor:
        """Return the means, ``[N, d]``, from convolved nodes and nodes."""
        return cast(Tensor, self.output(heard) + F.leaky_relu(self.own(x)))


class GaussianEncoder(nn.Module):
    """The layers of one view.

    Args:
        hidden_dim: Size h of what enters.
        dim: Size d of what leaves.
    """

    def __init__(self, hidden_dim: int, dim: int) -> None:
        super().__init__()
        self.first = Convolution(hidden_dim, dim)
        self.merge = linear(dim, dim, "xavier_normal")
        self.mean, self.log_variance = Head(dim), Head(dim)
