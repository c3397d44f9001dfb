"""What a CTR model is: it is built from a context, learns from impressions, and gives each a probability of a click.

What it is served (`PointInputs`) and what it learns from (`PointBatch`) are two types: at serving no model can see a
label.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.points import ClickHistories, Points
from mmrec_bench.errors import DataError
from mmrec_bench.losses import binary_cross_entropy
from mmrec_bench.models.base import Batch, ClosedForm, GradientModel, LossTerms, Model, ModelConfig
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Extra:
    """What the extra slot of a model holds: a vector, or ids of items whose vectors the model pools.

    Attributes:
        values: Vectors, float32 ``[n, d]``, or item ids, int64 ``[n, k]`` with -1 for none.
        by: Whether a row belongs to an item of the catalogue, or to an impression of the part.
    """

    values: FloatArray | IntArray
    by: Literal["item", "impression"] = "item"

    @property
    def dim(self) -> int | None:
        """Length of the vectors; None for item ids."""
        return int(self.values.shape[1]) if self.values.dtype == np.float32 else None

    @classmethod
    def of_vectors(cls, vectors: FloatArray) -> Extra:
        """Return item vectors scaled by one number, so that a row has length 1 in the mean square; zeros stay.

        What tables hold differs by orders of magnitude, and with it the first steps of whoever reads them.
        """
        lengths = np.square(vectors, dtype=np.float64).sum(axis=1)
        scale = np.sqrt(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0
        return cls((vectors / scale).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class CtrPart:
    """A part of the split as a model meets it.

    Attributes:
        points: The impressions, in time order.
        histories: What their users had clicked before.
        extra: What the extra slot holds, where there is one.
    """

    points: Points
    histories: ClickHistories
    extra: Extra | None = None

    def __post_init__(self) -> None:
        if self.extra is not None and self.extra.by == "impression" and len(self.extra.values) != len(self.points):
            raise DataError(f"an extra slot by impression needs {len(self.points)} rows; got {len(self.extra.values)}")

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, slots=True)
class CtrContext:
    """Everything a CTR model may be built from.

    Attributes:
        train: Training impressions.
        features: Feature tables of items by modality.
        items: Titles, images and words.
        seeds: Random streams of the run.
        batch_size: Configured number of impressions in a batch.
    """

    train: CtrPart
    features: Mapping[str, FeatureTable] = field(default_factory=dict)
    items: ItemTable = field(default_factory=ItemTable)
    seeds: Seeds = field(default_factory=lambda: Seeds(0))
    batch_size: int = 2048


@dataclass(frozen=True, slots=True)
class PointInputs:
    """A batch of impressions as they are served, on the model's device.

    Attributes:
        users: int64 ``[B]``.
        items: int64 ``[B]``.
        histories: Items the user had clicked before, the latest first, int64 ``[B, L]`` with -1 at the end as padding;
            None for models that read none.
        extra: What the extra slot holds: vectors, float32 ``[B, d]``, or item ids, int64 ``[B, k]`` with -1 for none.
    """

    users: Tensor
    items: Tensor
    histories: Tensor | None = None
    extra: Tensor | None = None


@dataclass(frozen=True, slots=True)
class PointBatch(Batch):
    """A batch of impressions to learn from.

    Attributes:
        inputs: What is served.
        labels: Clicked or not, float32 ``[B]`` of 0 and 1.
    """

    inputs: PointInputs
    labels: Tensor


class CtrModel(Model):
    """A model that gives every impression the probability of a click."""

    history_length: int = 0
    """How many of the latest items of a history it reads."""

    @abstractmethod
    def predict(self, inputs: PointInputs) -> Tensor:
        """Return probabilities, float32 ``[B]`` in [0, 1], in evaluation mode without gradients."""


class GradientCtrModel(GradientModel, CtrModel):
    """A CTR model trained by gradient steps on `PointBatch`; `forward` gives the log odds of a click."""

    batch_kind: type[Batch] = PointBatch

    @property
    def batch_options(self) -> Mapping[str, Any]:
        """How far back it looks."""
        return {"history_length": self.history_length}

    @abstractmethod
    def forward(self, inputs: PointInputs) -> Tensor:
        """Return log odds, float32 ``[B]``."""

    def loss(self, batch: PointBatch) -> LossTerms:
        """Return the cross-entropy of clicks."""
        return {"log_loss": binary_cross_entropy(self(batch.inputs), batch.labels)}

    def predict(self, inputs: PointInputs) -> Tensor:
        """Return the logistic function of the log odds."""
        probabilities: Tensor = self(inputs).sigmoid()
        return probabilities


class ClosedFormCtrModel(ClosedForm, CtrModel):
    """A CTR model without gradient steps; its context is a `CtrContext`."""

    @abstractmethod
    def fit(self, context: Any) -> None:
        """Compute everything `predict` needs."""


class CtrConfig(ModelConfig):
    """Base of the configs of all CTR models."""
