"""What a run does in its own way for a task: how a model is built, validated and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, ModelConfig
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.memory import check_training_memory, memory_errors
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import Context

VAULT_PURPOSE = "final evaluation of the weights selected on validation"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a trained model.

    Attributes:
        metrics: Content of ``metrics.json``: ``valid``, ``test`` and ``test_slices``.
        per_user: Metrics of each user or list.
        rankings: What was ranked, and how.
        facts: What the manifest says of the judging, such as the back-end of retrieval.
    """

    metrics: Mapping[str, Any]
    per_user: pd.DataFrame
    rankings: pd.DataFrame
    facts: Mapping[str, Any]


class Station(Protocol):
    """The stations of the road on which tasks differ."""

    def build(self, seed: int) -> tuple[nn.Module, Context]:
        """Return the untrained model on its device, and the context it was built from."""

    def validate(self, model: Any) -> Validation:
        """Measure a model on the validation part."""

    def judge(self, model: Any, ledger: VaultLedger) -> Judgement:
        """Measure a trained model on validation and test part; opens the vault, once."""


def built(settings: ModelConfig, context: Any, seeds: Seeds, kind: type[Any], device: torch.device) -> Any:
    """Return an untrained model on its device; its initial weights hang on the seed, and on nothing drawn before.

    Args:
        settings: Of a registered model.
        context: What models of its task are built from.
        seeds: Random streams of the run.
        kind: The base class of all models of its task; what is returned is one of it.
        device: Where it is going to live.

    Raises:
        ModelError: Its class is of another kind.
        ResourceError: There is too little memory to build or to train it.
    """
    entry = MODELS[settings.name]
    seeds.seed_global("init")
    with memory_errors(device, "building the model", "Lower model.embedding_dim"):
        model = entry.build(settings, context)
        if not isinstance(model, kind):
            raise ModelError(f"'{entry.name}' is registered for {entry.task}, but its class is no {kind.__name__}")
        model.to(device)
    check_training_memory(model, device)
    return model


def part_column(part: str, parts: Iterable[str], n_rows: int) -> pd.Categorical[str]:
    """Return the column ``part`` of rows that are all of one part."""
    names = list(parts)
    return pd.Categorical.from_codes(np.full(n_rows, names.index(part), np.int8), pd.Index(names))
