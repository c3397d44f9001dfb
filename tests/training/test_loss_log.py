from __future__ import annotations

import pytest
import torch

from mmrec_bench.errors import TrainingError
from mmrec_bench.training.loss_log import LossLog


def log_of(*batches: dict[str, float], epoch: int = 4) -> LossLog:
    log = LossLog(epoch)
    for batch in batches:
        log.add({name: torch.tensor(value) for name, value in batch.items()})
    return log


def test_means_over_batches() -> None:
    assert log_of({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.5}).means() == {"a": 2.0, "b": 2.25}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_first_non_finite_value_is_named(value: float) -> None:
    log = log_of({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": value}, {"a": torch.nan, "b": torch.nan})
    with pytest.raises(TrainingError, match=r"'b' is -?(nan|inf) in epoch 4, batch 1"):
        log.means()


def test_names_must_stay_and_must_not_clash_with_the_history() -> None:
    with pytest.raises(TrainingError, match="epoch 4 began with a, batch 1 has a, b"):
        log_of({"a": 1.0}, {"a": 1.0, "b": 2.0})
    with pytest.raises(TrainingError, match="cannot be called loss, valid"):
        log_of({"valid": 1.0, "loss": 1.0})


def test_terms_are_detached() -> None:
    weight = torch.ones((), requires_grad=True)
    log = LossLog(0)
    log.add({"a": 2 * weight})
    assert not log._batches[0].requires_grad
