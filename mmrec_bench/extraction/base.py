"""What every encoder of contents is: a strict config that builds something which turns contents into vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import torch

from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import FloatArray

Modality: TypeAlias = Literal["text", "image"]
"""What an encoder reads: texts, or pictures in RGB."""

C = TypeVar("C")


class ContentEncoder(ABC, Generic[C]):
    """Turns contents, texts or pictures, into vectors.

    Attributes:
        counts: How many contents something happened to that is worth knowing, such as texts cut at the longest length.
        at_once: How many contents are handed over at once at most; decoded pictures are large.
    """

    at_once: int = 512

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def fit(self, contents: Sequence[C]) -> None:
        """Learn from all contents what the vectors need; the same contents must teach the same.

        Raises:
            DataError: They are too few.
        """

    @abstractmethod
    def encode(self, contents: Sequence[C]) -> FloatArray:
        """Return one vector each, float32 ``[n, d]``; a row that is not finite, or all zero, is no vector."""


class ContentEncoderConfig(BaseConfig, ABC):
    """Base of the configs of all encoders.

    Attributes:
        modality: What it reads.
        version: Raised whenever the same contents and weights would give other vectors, so that none is reused.
    """

    modality: ClassVar[Modality]
    version: ClassVar[int] = 1

    name: str

    @abstractmethod
    def build(self, device: torch.device) -> ContentEncoder[Any]:
        """Return the encoder.

        Args:
            device: Where it computes, if it has weights.

        Raises:
            DataError: Its weights are not there, or not fit to be read.
            MissingExtraError: Its package is not installed.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the vectors, wherever the weights lie on this machine."""
        return self.model_dump(mode="json")


CONTENT_ENCODERS: Registry[type[ContentEncoderConfig]] = Registry(
    "feature encoder", entry_point_group="mmrec_bench.extraction"
)
"""Config classes of encoders by the name in YAML."""
