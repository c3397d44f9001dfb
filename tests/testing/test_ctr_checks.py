"""The checks of CTR models find what is broken."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, LossTerms, ModelEntry
from mmrec_bench.models.ctr.base import CtrContext, Extra, PointBatch, PointInputs
from mmrec_bench.models.ctr.deepfm import DeepFM, DeepFMConfig
from mmrec_bench.testing import ctr_checks as checks
from mmrec_bench.testing.ctr_subjects import build_ctr, tiny_ctr_context, whole_batch
from mmrec_bench.testing.subjects import Subject


def _subject(model: type[DeepFM]) -> Subject:
    entry: ModelEntry = dataclasses.replace(MODELS["deepfm"], build=model, model=model)
    return Subject(entry, {"embedding_dim": 4})


class OfTheBatch(DeepFM):
    def forward(self, inputs: PointInputs) -> Tensor:
        odds = super().forward(inputs)
        return odds - odds.mean()


class Random(DeepFM):
    def forward(self, inputs: PointInputs) -> Tensor:
        return super().forward(inputs) + torch.randn(())


class LogOdds(DeepFM):
    def predict(self, inputs: PointInputs) -> Tensor:
        return self(inputs) * 100


class Idle(DeepFM):
    def __init__(self, config: DeepFMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        self.idle = nn.Parameter(torch.zeros(2))


class EagerSlot(DeepFM):
    def __init__(self, config: DeepFMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        if self.dense.slot is not None:
            nn.init.ones_(self.dense.slot.columns.weight)


class BlindSlot(DeepFM):
    def forward(self, inputs: PointInputs) -> Tensor:
        return super().forward(dataclasses.replace(inputs, extra=None))


class Forgetful(DeepFM):
    def __init__(self, config: DeepFMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        self.offset = torch.rand(()).item()

    def forward(self, inputs: PointInputs) -> Tensor:
        return super().forward(inputs) + self.offset


class Careless(DeepFM):
    def loss(self, batch: PointBatch) -> LossTerms:
        batch.labels.mul_(0.5)
        return super().loss(batch)


class Unseeded(DeepFM):
    def __init__(self, config: DeepFMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        with torch.no_grad():
            self.out.weight.copy_(torch.from_numpy(np.random.default_rng().standard_normal(self.out.weight.shape)))


@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        (OfTheBatch, checks.check_probabilities, "hangs on the others"),
        (Random, checks.check_probabilities, "not the same twice"),
        (LogOdds, checks.check_probabilities, "no probability"),
        (Idle, checks.check_gradients_of_clicks, "no gradient reaches parameter 'idle'"),
        (EagerSlot, checks.check_slots, "before it is trained"),
        (BlindSlot, checks.check_slots, "is not read"),
        (Forgetful, checks.check_ctr_save_and_load, "misses something"),
        (Careless, checks.check_batches_are_untouched, "changes labels"),
        (Unseeded, checks.check_ctr_determinism, "one seed twice"),
    ],
)
def test_what_is_broken_is_found(model: type[DeepFM], check: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(_subject(model))
    check(_subject(DeepFM))


def test_an_empty_row_of_a_slot_adds_nothing() -> None:
    ids = np.full((12, 2), -1)
    ids[3, 0] = 7
    context = tiny_ctr_context(extra=Extra(ids))
    model = build_ctr(_subject(DeepFM), context).eval()
    before = model.predict(whole_batch(model, context).inputs)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "slot" in name:
                nn.init.normal_(parameter)
    changed = (model.predict(whole_batch(model, context).inputs) != before).numpy()
    assert (changed == (context.train.points.items == 3)).all()
