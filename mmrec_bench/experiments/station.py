"""What a run does in its own way for a task: how a model is built, validated and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
from torch import nn

from mmrec_bench.data.split import VaultLedger
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
