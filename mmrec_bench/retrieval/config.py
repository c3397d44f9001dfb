"""Which back-end ranks, chosen in YAML under ``retriever``."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt

from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever
from mmrec_bench.settings import BaseConfig


class RetrieverConfig(BaseConfig):
    """How the top k of the whole catalogue are found; every choice is exact."""

    backend: Literal["faiss", "torch"] = "faiss"
    """``faiss``: flat index, for models that export vectors. ``torch``: dense scores, for every model."""
    memory_mib: PositiveInt = 1024
    """Memory in MiB for blocks of users, beside the model's vectors and the result; it sets the size of the blocks and
    never changes a result beyond float rounding."""


def build_retriever(config: RetrieverConfig, device: torch.device) -> FaissRetriever | TorchRetriever:
    """Return the configured back-end on a device.

    Raises:
        MissingExtraError: ``faiss`` is asked for and not installed.
    """
    if config.backend == "faiss":
        return FaissRetriever(device, config.memory_mib)
    return TorchRetriever(device, config.memory_mib)
