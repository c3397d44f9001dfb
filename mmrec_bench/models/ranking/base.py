"""What a ranker is: it is built from a context, learns from shown lists, and arranges lists.

What it is served (`ListInputs`) and what it learns from (`ListBatch`) are two types: at serving no ranker can see a
position, a click or a label.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.models.base import Batch, ClosedForm, GradientModel, LossTerms, Model, ModelConfig
from mmrec_bench.seeding import Seeds

Teaching: TypeAlias = Literal["labels", "clicks", "order"]
"""What training lists teach: graded ``labels``; ``clicks`` with their biases; or nothing but the ``order`` shown, where
that is the one to learn: the label of a row is then the number of places below it."""


class RankerConfig(ModelConfig):
    """Base of the configs of all rankers."""

    learns_from: Teaching = "labels"
    """What the training lists teach: graded ``labels``, ``clicks`` with their biases, or the ``order`` shown."""


@dataclass(frozen=True, slots=True)
class RankingContext:
    """Everything a ranker may be built from.

    Attributes:
        train: Training lists.
        features: Feature tables of items by modality.
        items: Titles, images and words.
        seeds: Random streams of the run.
        batch_size: Configured number of lists in a batch.
    """

    train: Lists
    features: Mapping[str, FeatureTable] = field(default_factory=dict)
    items: ItemTable = field(default_factory=ItemTable)
    seeds: Seeds = field(default_factory=lambda: Seeds(0))
    batch_size: int = 256

    @property
    def n_features(self) -> int:
        """Number of values that describe a row of a list; 0 where rows carry none."""
        return 0 if self.train.features is None else self.train.features.shape[1]


@dataclass(frozen=True, slots=True)
class ListInputs:
    """A batch of lists as they are served, padded to the longest; on the model's device.

    Attributes:
        users: User or query of each list, int64 ``[B]``.
        items: Item of each row in the initial order, int64 ``[B, L]``; 0 where padded.
        mask: Which rows are real, bool ``[B, L]``; the padding stands at the end.
        ties: Canonical rank by which rows of equal score are ordered, int64 ``[B, L]``.
        features: float32 ``[B, L, F]``, 0 where padded; None where rows carry none.
        histories: Items the user had before, oldest first, int64 ``[B, T]`` with -1 at the end as padding; at most as
            many as `Ranker.history_length`, the latest; None for rankers that read none.
    """

    users: Tensor
    items: Tensor
    mask: Tensor
    ties: Tensor
    features: Tensor | None = None
    histories: Tensor | None = None

    def permuted(self, order: Tensor) -> ListInputs:
        """Return the lists with their rows in another order, int64 ``[B, L]``."""
        features = self.features
        if features is not None:
            features = features.gather(1, order.unsqueeze(2).expand_as(features))
        rows = {name: getattr(self, name).gather(1, order) for name in ("items", "mask", "ties")}
        return dataclasses.replace(self, features=features, **rows)

    def canonical(self) -> Tensor:
        """Return an order of the rows that hangs on nothing but their items, padding last, int64 ``[B, L]``."""
        return self.ties.masked_fill(~self.mask, torch.iinfo(torch.int64).max).argsort(dim=1, stable=True)


@dataclass(frozen=True, slots=True)
class ListBatch(Batch):
    """A batch of lists to learn from.

    Attributes:
        inputs: What is served.
        positions: Place at which each row was shown, 1 = top, int64 ``[B, L]``, 0 where padded.
        clicks: float32 ``[B, L]`` of 0 and 1, 0 where padded.
        labels: Graded relevance, or what the order shown makes of it, int64 ``[B, L]``, -1 where padded.
        propensities: Probability that the row was observed, float32 ``[B, L]``, 1 where padded.

    Each is None where the lists lack it; a model that learns from clicks gets no labels, and the other way round.
    """

    inputs: ListInputs
    positions: Tensor | None = None
    clicks: Tensor | None = None
    labels: Tensor | None = None
    propensities: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """Relevance to learn: clicks or labels, whichever there are, float32 ``[B, L]``, 0 where padded."""
        if self.clicks is not None:
            return self.clicks
        assert self.labels is not None  # a training part without either is refused before
        return self.labels.clamp(min=0).float()


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Lists put in order.

    Attributes:
        order: Row of the initial order at each place, int64 ``[B, L]``, -1 where padded.
        scores: Score of the row at each place, float32 ``[B, L]``, not rising, -inf where padded; equal scores say that
            the ranker does not tell two rows apart.
    """

    order: Tensor
    scores: Tensor

    @classmethod
    def of_scores(cls, scores: Tensor, inputs: ListInputs) -> Arrangement:
        """Order rows by falling score ``[B, L]``, equal ones by their canonical rank."""
        scores = scores.float().masked_fill(~inputs.mask, -torch.inf)
        by_ties = torch.argsort(inputs.ties, dim=1, stable=True)
        by_score = torch.argsort(scores.gather(1, by_ties), dim=1, descending=True, stable=True)
        order = by_ties.gather(1, by_score)
        # Behind real rows of score -inf, padding must still come last.
        order = order.gather(1, torch.argsort((~inputs.mask.gather(1, order)).int(), dim=1, stable=True))
        return cls(order.masked_fill(~inputs.mask, -1), scores.gather(1, order))


class Ranker(Model):
    """A model that puts lists in order."""

    history_length: int = 0
    """How many of the latest items of a history it reads."""

    @abstractmethod
    def arrange(self, inputs: ListInputs) -> Arrangement:
        """Put lists in order, in evaluation mode without gradients."""


class ScoringRanker(Ranker):
    """A ranker that gives every row a score and sorts by it."""

    @abstractmethod
    def score(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``; what stands at padded rows is ignored."""

    def arrange(self, inputs: ListInputs) -> Arrangement:
        """Sort by falling score."""
        return Arrangement.of_scores(self.score(inputs), inputs)


class GradientRanker(GradientModel, Ranker):
    """A ranker trained by gradient steps on `ListBatch`."""

    batch_kind: type[Batch] = ListBatch
    config: RankerConfig

    @property
    def batch_options(self) -> Mapping[str, Any]:
        """What it learns from, and how far back it looks."""
        return {"teaches": self.config.learns_from, "history_length": self.history_length}

    @abstractmethod
    def loss(self, batch: ListBatch) -> LossTerms:
        """Return the named, weighted terms of the loss of one batch."""


class ClosedFormRanker(ClosedForm, Ranker):
    """A ranker without gradient steps; its context is a `RankingContext`."""

    @abstractmethod
    def fit(self, context: Any) -> None:
        """Compute everything `arrange` needs."""
