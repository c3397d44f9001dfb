from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmrec_bench.errors import ConfigError, TrainingError
from mmrec_bench.settings import parse_yaml
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.schedules import ConstantSchedule, CosineSchedule, ExponentialSchedule
from mmrec_bench.training.steps import MirrorGradientStep, PlainStep

FULL = """
optimizer: adamw
learning_rate: 5.0e-4
weight_decay: 1
batch_size: 256
max_epochs: 400
validate_every: 5
patience: 6
schedule: {name: exponential, rate: 0.96, every: 50, warmup_epochs: 2}
step: {name: mirror-gradient, alpha1: 1.0, alpha2: 0.2, beta: 4, clip_norm: 3}
checkpoint_seconds: 0
"""


def test_full_yaml_reads_and_round_trips() -> None:
    config = parse_yaml(FULL, "test").parse(TrainerConfig)
    assert config.schedule == ExponentialSchedule(rate=0.96, every=50, warmup_epochs=2)
    assert config.step == MirrorGradientStep(alpha2=0.2, beta=4, clip_norm=3.0)
    dumped = config.model_dump(mode="json")
    assert dumped["schedule"] == {"name": "exponential", "rate": 0.96, "every": 50, "warmup_epochs": 2}
    assert dumped["step"]["alpha2"] == 0.2
    assert TrainerConfig.model_validate(dumped) == config


def test_names_alone_are_short_forms() -> None:
    config = TrainerConfig.model_validate({"schedule": "cosine", "step": "plain"})
    assert config.schedule == CosineSchedule()
    assert config.step == PlainStep()
    assert TrainerConfig().schedule == ConstantSchedule()


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("batch_size", "0", "batch_size"),
        ("max_epochs", "0", "max_epochs"),
        ("validate_every", "0", "validate_every"),
        ("patience", "0", "patience"),
        ("learning_rate", "0", "learning_rate"),
        ("learning_rate", ".inf", "learning_rate"),
        ("learning_rate", ".nan", "learning_rate"),
        ("weight_decay", "-1.0e-4", "weight_decay"),
        ("checkpoint_seconds", "-1", "checkpoint_seconds"),
        ("batch_size", "2.5", "batch_size"),
        ("batch_size", "'2048'", "batch_size"),
        ("optimizer", "adagrad", "optimizer"),
        ("step", "{name: plain, clip_norm: 0}", "step.clip_norm"),
        ("step", "{name: mirror-gradient, beta: 0}", "step.beta"),
        ("step", "{name: plain, beta: 3}", "step.beta"),
        ("step", "{name: mirror}", "step"),
        ("schedule", "{name: exponential, rate: 1.5}", "schedule.rate"),
        ("schedule", "{name: exponential, every: 0}", "schedule.every"),
        ("schedule", "{name: cosine, warmup_epochs: -1}", "schedule.warmup_epochs"),
        ("schedule", "{rate: 0.96}", "schedule"),
        ("schedule", "7", "schedule"),
        ("patients", "5", "patients"),
    ],
)
def test_bad_values_are_named_with_their_path(key: str, value: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(f"{key}: {value}", "test").parse(TrainerConfig)
    assert [issue.path for issue in caught.value.issues] == [path]


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'mirror-gradient'\? known: mirror-gradient, plain"):
        parse_yaml("step: mirror-gradients", "test").parse(TrainerConfig)
    with pytest.raises(ConfigError, match="known: constant, cosine, exponential"):
        parse_yaml("schedule: linear", "test").parse(TrainerConfig)


def test_exponential_schedule_is_smooth_and_counts_from_zero() -> None:
    config = TrainerConfig(learning_rate=0.01, schedule=ExponentialSchedule(rate=0.96, every=50))
    assert config.learning_rate_at(0) == 0.01
    assert config.learning_rate_at(50) == pytest.approx(0.96 * 0.01, rel=1e-15)
    assert config.learning_rate_at(25) == pytest.approx(math.sqrt(0.96) * 0.01, rel=1e-15)


def test_constant_and_released_default_agree() -> None:
    released = ExponentialSchedule(rate=1.0, every=50)
    assert [released.factor(e, 100) for e in range(100)] == [ConstantSchedule().factor(e, 100) for e in range(100)]


def test_cosine_with_warm_up() -> None:
    schedule = CosineSchedule(warmup_epochs=4, floor=0.2)
    assert [schedule.factor(e, 14) for e in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule.factor(9, 14) == pytest.approx(0.6)  # half way between 1 and the floor
    assert schedule.factor(13, 14) > 0.2
    falling = [schedule.factor(e, 14) for e in range(4, 14)]
    assert falling == sorted(falling, reverse=True)


def test_warm_up_longer_than_the_run_is_harmless() -> None:
    assert [CosineSchedule(warmup_epochs=10).factor(e, 2) for e in range(2)] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("name", "expected"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_optimisers_get_the_numbers_and_the_fused_kernels(name: str, expected: type) -> None:
    config = TrainerConfig.model_validate({"optimizer": name, "learning_rate": 0.5, "weight_decay": 0.25})
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer = config.make_optimizer([nn.Parameter(torch.ones(2)), frozen])
    (group,) = optimizer.param_groups
    assert type(optimizer) is expected
    assert (group["lr"], group["weight_decay"], group["fused"], len(group["params"])) == (0.5, 0.25, True, 1)


def test_weight_decay_is_coupled_in_adam_and_decoupled_in_adamw() -> None:
    moved = {}
    for name in ("adam", "adamw"):
        config = TrainerConfig.model_validate({"optimizer": name, "learning_rate": 0.1, "weight_decay": 0.5})
        weight = nn.Parameter(torch.tensor([2.0]))
        optimizer = config.make_optimizer([weight])
        weight.grad = torch.zeros(1)
        optimizer.step()
        moved[name] = weight.item()
    assert moved["adam"] == pytest.approx(2.0 - 0.1)  # the decay is the whole gradient, normalised to length one
    assert moved["adamw"] == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no trainable parameters"):
        TrainerConfig().make_optimizer([])
