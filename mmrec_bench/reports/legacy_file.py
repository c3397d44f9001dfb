"""The typed file of what choosing on test would have published."""

from __future__ import annotations

import json
from typing import Literal

from mmrec_bench.settings import BaseConfig


class LegacyLine(BaseConfig):
    """One study: what validation chose, and what is best on test."""

    task: str
    """Task of the model."""
    dataset: str
    """Name of the data set."""
    protocol_id: str
    """What the numbers mean."""
    model: str
    """Label of the model."""
    study: str
    """Fingerprint of the study."""
    weights_code: str
    """Digest of the code that made the weights."""
    code: str
    """Digest of the code that scored them."""
    metric: str
    """The metric by which both choose."""
    n_trials: int
    """Complete trials."""
    n_users: int
    """Users of the test part."""
    chosen_trial: int
    """Number of the trial that validation chose."""
    chosen_valid: float
    """Its score on validation."""
    chosen_test: float
    """Its score on test."""
    best_trial: int
    """Number of the trial that is best on test."""
    best_valid: float
    """Its score on validation."""
    best_test: float
    """Its score on test."""
    bias: float
    """How much the choice on test adds."""
    bias_low: float | None
    """Lower end of the interval of it, over users, paired; null where both chose the same trial."""
    bias_high: float | None
    """Upper end of it."""
    decimals: int | None
    """Digits to which test scores were rounded before they were compared; null: not at all."""


class LegacyFile(BaseConfig):
    """``legacy-selection.json``: what choosing on test would have published, one line a study."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    kind: Literal["legacy-selection"] = "legacy-selection"
    """What it is; no result."""
    lines: tuple[LegacyLine, ...]
    """The studies."""

    def text(self) -> str:
        """Return the file as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
