"""Numbers below the normal range are zero in training with weight decay, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmrec_bench.models.base import LossTerms, ModelContext, Recommender, Triplets
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.training.subnormals import subnormals_are_zero
from mmrec_bench.training.trainer import train
from tests.training.toy import ToyMF, random_interactions

TINY = torch.finfo(torch.float32).tiny


def n_subnormal(size: int = 4) -> int:
    return int((torch.full((size,), TINY) / 2 != 0).sum())


def test_they_are_zero_within_and_stay_outside() -> None:
    assert n_subnormal() == 4
    with subnormals_are_zero():
        assert n_subnormal() == 0
        with subnormals_are_zero():
            pass
        assert n_subnormal() == 0, "an inner one leaves the outer one as it is"
    assert n_subnormal() == 4
    with pytest.raises(ZeroDivisionError), subnormals_are_zero():
        _ = 1 / 0
    assert n_subnormal() == 4


def test_threads_that_a_run_starts_keep_them() -> None:
    """In a process of its own, whose threads nothing has started before."""
    code = (
        "from mmrec_bench.experiments.environment import use_threads\n"
        "from mmrec_bench.training.subnormals import subnormals_are_zero\n"
        "from tests.training.test_subnormals import n_subnormal\n"
        "assert use_threads(3) == 3\n"
        "with subnormals_are_zero():\n"
        "    n_subnormal(1 << 22)\n"
        "print(n_subnormal(1 << 22) == 1 << 22)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize(("weight_decay", "expected"), [(1e-4, 0), (0.0, 4)])
def test_models_train_so_with_weight_decay_and_are_judged_otherwise(weight_decay: float, expected: int) -> None:
    trained: list[int] = []
    judged: list[int] = []

    class Spy(ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            trained.append(n_subnormal())
            return super().loss(batch)

    def validate(model: Recommender) -> Validation:
        judged.append(n_subnormal())
        return Validation(1.0, {"m": 1.0})

    context = ModelContext(random_interactions(), seeds=Seeds(0))
    config = TrainerConfig(max_epochs=2, weight_decay=weight_decay)
    train(Spy(context), context, config, validate, context.seeds, torch.device("cpu"))
    assert set(trained) == {expected}
    assert set(judged) == {4}
