from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

import mmrec_bench.models  # noqa: F401 - fills the registry
from mmrec_bench.models.base import ClosedFormRecommender, GradientRecommender, Recommender
from mmrec_bench.testing.subjects import Subject, all_scores, backward, batch_for, every_subject, first_loss
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import EpochRecord, SilentObserver, TrainingResult, Validation
from mmrec_bench.training.steps import MirrorGradientStep, PlainStep
from mmrec_bench.training.trainer import train

CPU = torch.device("cpu")
CONFIG = TrainerConfig(learning_rate=0.02, batch_size=16, max_epochs=5, checkpoint_seconds=0)
SUBJECTS = [
    subject
    for subject in (*every_subject("clean"), *every_subject("released"))
    if not issubclass(subject.entry.model, ClosedFormRecommender)
]


class KilledError(Exception):
    pass


class Killer(SilentObserver):
    """Raises at the end of an epoch, when its checkpoint is not yet written."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.done_before = 0

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        self.done_before = len(history)

    def on_epoch(self, record: EpochRecord) -> None:
        if record.epoch == self.epoch:
            raise KilledError


def validate(model: Recommender) -> Validation:
    """A wavering score, so that the best epoch is not always the last."""
    score = float(torch.sin(20 * all_scores(model.export()).double()).mean())
    return Validation(score, {"wave": score})


def run(subject: Subject, **options: object) -> tuple[Recommender, TrainingResult]:
    context = subject.context(seed=5)
    model = subject.build(context)
    return model, train(model, context, CONFIG, validate, context.seeds, CPU, **options)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_resume_and_restored_weights(subject: Subject, toy: ModuleType, tmp_path: Path) -> None:
    model, result = run(subject)
    expected, scores = toy.outcome(model, result), all_scores(model.export())
    # What a model exports hangs on its state dict alone: the restored weights score as they did when they were best.
    assert validate(model).score == result.best_score

    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    for epoch, done_before in ((0, 0), (3, 0), (4, 3)):
        killer = Killer(epoch)
        with pytest.raises(KilledError):
            run(subject, checkpoints=store, observer=killer, resume=True)
        assert killer.done_before == done_before
    model, result = run(subject, checkpoints=store, resume=True)
    assert toy.outcome(model, result) == expected
    assert torch.equal(all_scores(model.export()), scores)


@pytest.mark.parametrize("subject", [subject for subject in SUBJECTS if not subject.config().nested], ids=str)
def test_mirror_gradient_takes_another_way(subject: Subject) -> None:
    ends = []
    for step in (PlainStep(), MirrorGradientStep(beta=2, alpha2=0.3)):
        context = subject.context(seed=5)
        model = subject.build(context)
        config = CONFIG.model_copy(update={"max_epochs": 2, "step": step})
        train(model, context, config, validate, context.seeds, CPU)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.isfinite(ends[1]).all()
    assert not torch.allclose(*ends)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_mirrored_batch_is_a_step_down_and_a_smaller_one_up_from_there(subject: Subject) -> None:
    """Against two steps by hand, with the same draws."""
    ends = []
    for by_hand in (False, True):
        context = subject.context(seed=5)
        model = subject.build(context)
        assert isinstance(model, GradientRecommender)
        first_loss(model, context)  # models that make a graph in their first batch
        optimizer, batch = torch.optim.SGD(model.parameters(), lr=0.05), batch_for(model, context)
        torch.manual_seed(3)
        if by_hand:
            for rate in (0.05, -0.3 * 0.05):
                model.zero_grad()
                backward(model.loss(batch))
                with torch.no_grad():
                    for parameter in model.parameters():
                        if parameter.grad is not None:
                            parameter -= rate * parameter.grad
        else:
            MirrorGradientStep(alpha2=0.3).step(partial(model.loss, batch), optimizer, 0)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-7)
