"""What an encoder is: from feature tables to one fused vector an item, trained without interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.models.base import GradientModel, Items
from mmrec_bench.registry import Registry
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import BoolArray, FloatArray, IntArray


class EncoderConfig(BaseConfig):
    """Base of all encoder configs; a subclass declares ``name: Literal["..."] = "..."``."""

    name: str


@dataclass(frozen=True, slots=True)
class EncoderContext:
    """Everything an encoder may be trained on.

    Attributes:
        features: Feature tables by modality, each as long as the catalogue.
        train: Ids of the items it is trained on, int64 ``[n]``; each has at least one modality.
        seeds: Random streams.
    """

    features: Mapping[str, FeatureTable]
    train: IntArray
    seeds: Seeds


class Encoder(nn.Module, ABC):
    """Encodes items; can be built without data, so that saved weights load."""

    @abstractmethod
    def encode(self, features: Mapping[str, FeatureTable]) -> tuple[FloatArray, BoolArray]:
        """Return one vector an item, float32 ``[n_items, d]``, and which items have one, bool ``[n_items]``.

        Raises:
            ModelError: A table it was trained with is lacking, or has another length of vectors.
        """


class EncoderTraining(GradientModel):
    """What trains an encoder; its constructor takes ``(config, context)``.

    Attributes:
        config_class: Class of its config.
        encoder_class: Class of its encoder, whose constructor takes ``(config, dims)``, dims the length of the vectors
            of each modality.
        encoder: The encoder.
    """

    batch_kind = Items
    config_class: ClassVar[type[EncoderConfig]]
    encoder_class: ClassVar[type[Encoder]]
    encoder: Encoder

    @abstractmethod
    def validation_loss(self, items: IntArray) -> float:
        """Return the loss on held-out items, int64 ``[n]``, with random choices that are the same at every call."""

    def finish(self) -> None:
        """Complete the encoder once its best weights are chosen."""


ENCODERS: Registry[type[EncoderTraining]] = Registry("encoder", entry_point_group="mmrec_bench.encoders")
"""Encoders by the name in YAML."""
