from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from mmrec_bench.errors import DataError, ModelError, ResourceError, TrainingError
from mmrec_bench.models.base import GradientModel, Items, LossTerms, ModelContext, Recommender, Triplets
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.memory import check_training_memory
from mmrec_bench.training.records import EpochRecord, Validation
from mmrec_bench.training.schedules import ExponentialSchedule
from mmrec_bench.training.steps import MirrorGradientStep, PlainStep
from mmrec_bench.training.trainer import train

CPU = torch.device("cpu")


class Watch:
    """Notes everything it is told."""

    def __init__(self) -> None:
        self.started: tuple[int, int] | None = None
        self.batches: list[tuple[int, int, int]] = []
        self.records: list[EpochRecord] = []

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        self.started = (len(history), max_epochs)

    def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
        self.batches.append((epoch, batch, n_batches))

    def on_epoch(self, record: EpochRecord) -> None:
        self.records.append(record)


def scores(*values: float) -> Callable[[Recommender], Validation]:
    """A validation that returns these scores in turn, then the last for ever."""
    left = list(values)

    def validate(model: Recommender) -> Validation:
        score = left.pop(0) if len(left) > 1 else left[0]
        return Validation(score, {"m": score})

    return validate


@pytest.mark.parametrize("step", [PlainStep(), PlainStep(clip_norm=1.0), MirrorGradientStep()])
def test_checkerboard_is_learned(toy: ModuleType, step: PlainStep) -> None:
    interactions, truth = toy.checkerboard()
    context = ModelContext(interactions, seeds=Seeds(1))
    context.seeds.seed_global("init")
    model = toy.ToyMF(context)

    def validate(trained: Recommender) -> Validation:
        recall = toy.recall_at_1(interactions, truth, trained)
        return Validation(recall, {"recall@1": recall})

    config = TrainerConfig(learning_rate=0.05, batch_size=64, max_epochs=60, patience=60, step=step)
    result = train(model, context, config, validate, context.seeds, CPU)
    losses = [record.loss for record in result.history]
    assert losses[0] == pytest.approx(math.log(2), abs=0.05)
    assert losses[-1] < 0.1
    assert result.best_score == 1.0
    assert toy.recall_at_1(interactions, truth, model) == 1.0


def test_loss_terms_are_means_over_batches_and_add_up(toy: ModuleType) -> None:
    seen: list[LossTerms] = []

    class Spy(toy.ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            seen.append(super().loss(batch))
            return seen[-1]

    context = ModelContext(toy.random_interactions(), seeds=Seeds(1))
    config = TrainerConfig(batch_size=100, max_epochs=1)
    result = train(Spy(context), context, config, toy.validate, context.seeds, CPU)
    (record,) = result.history
    for name in ("bpr", "reg"):
        assert record.terms[name] == pytest.approx(np.mean([terms[name].item() for terms in seen]), rel=1e-6)
    assert record.loss == record.terms["bpr"] + record.terms["reg"]
    assert len(seen) == -(-len(context.train) // 100)


def test_constant_score_stops_after_one_plus_patience_validations(toy: ModuleType) -> None:
    for patience, every in ((21, 1), (1, 1), (3, 2)):
        model, context = toy.build("mf")
        config = TrainerConfig(max_epochs=100, patience=patience, validate_every=every)
        result = train(model, context, config, scores(0.5), context.seeds, CPU)
        validated = [record.epoch for record in result.history if record.valid is not None]
        assert len(validated) == 1 + patience
        assert validated == list(range(every - 1, every * (1 + patience), every))
        assert (result.best_epoch, result.stopped_by) == (every - 1, "patience")
        assert result.epochs_run == every * (1 + patience)


def test_last_epoch_is_always_validated(toy: ModuleType) -> None:
    model, context = toy.build("mf")
    config = TrainerConfig(max_epochs=7, validate_every=3)
    result = train(model, context, config, scores(0.1, 0.2, 0.3), context.seeds, CPU)
    assert [record.epoch for record in result.history if record.valid is not None] == [2, 5, 6]
    assert (result.best_epoch, result.best_score, result.best_metrics) == (6, 0.3, {"m": 0.3})
    assert (result.epochs_run, result.stopped_by) == (7, "max_epochs")
    assert [record.validate_seconds > 0 for record in result.history] == [False, False, True, False, False, True, True]


def test_best_weights_come_back(toy: ModuleType) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    model, context = toy.build("random")
    wanted = scores(0.1, 0.4, 0.3, 0.4, 0.2)

    def validate(trained: Recommender) -> Validation:
        assert not trained.training
        assert not torch.is_grad_enabled()
        kept.append({name: value.clone() for name, value in trained.state_dict().items()})
        return wanted(trained)

    result = train(model, context, TrainerConfig(max_epochs=5), validate, context.seeds, CPU)
    assert result.best_epoch == 1
    assert not model.training
    assert all(torch.equal(value, kept[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(kept[1]["items"], kept[4]["items"])


def test_model_trains_in_training_mode_after_each_validation(toy: ModuleType) -> None:
    modes: list[bool] = []

    class Spy(toy.ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            modes.append(self.training)
            return super().loss(batch)

    context = ModelContext(toy.random_interactions(), seeds=Seeds(0))
    model = Spy(context).eval()
    train(model, context, TrainerConfig(max_epochs=3), toy.validate, context.seeds, CPU)
    assert modes == [True] * 3


def test_schedule_sets_the_rate_of_each_epoch(toy: ModuleType) -> None:
    config = TrainerConfig(
        learning_rate=0.01, max_epochs=52, patience=100, schedule=ExponentialSchedule(rate=0.96, every=50)
    )
    _, result = toy.run("mf", config)
    rates = [record.learning_rate for record in result.history]
    assert rates[0] == 0.01
    assert rates[50] == pytest.approx(0.96 * 0.01, rel=1e-15)


def test_rate_reaches_the_optimiser(toy: ModuleType) -> None:
    """With plain gradient descent the first epoch's move is proportional to its rate."""
    moves = []
    for schedule in ({"name": "constant"}, {"name": "constant", "warmup_epochs": 4}):
        model, context = toy.build("mf")
        start = model.users.detach().clone()
        config = TrainerConfig.model_validate(
            {"optimizer": "sgd", "learning_rate": 0.5, "max_epochs": 1, "schedule": schedule}
        )
        train(model, context, config, toy.validate, context.seeds, CPU)
        moves.append(model.users.detach() - start)
    assert torch.allclose(moves[0], 4 * moves[1], atol=1e-6)


def test_same_seed_same_run_other_seed_other_run(toy: ModuleType) -> None:
    for name in ("mf", "random"):
        config = TrainerConfig(batch_size=64, max_epochs=3)
        outcomes = []
        for seed in (3, 3, 4):
            model, context = toy.build(name, seed)
            torch.manual_seed(len(outcomes))  # whatever the global generator holds before training has no say
            outcomes.append(toy.outcome(model, train(model, context, config, toy.validate, context.seeds, CPU)))
        assert outcomes[0] == outcomes[1]
        assert outcomes[0] != outcomes[2]


def test_validation_cannot_disturb_training(toy: ModuleType) -> None:
    config = TrainerConfig(batch_size=64, max_epochs=4)
    losses = []
    for draws in (0, 3):
        model, context = toy.build("random")

        def validate(trained: Recommender, draws: int = draws) -> Validation:
            torch.rand(draws)
            np.random.rand(draws)  # noqa: NPY002
            return Validation(0.5, {})

        losses.append([r.loss for r in train(model, context, config, validate, context.seeds, CPU).history])
    assert losses[0] == losses[1]


def test_observer_hears_everything(toy: ModuleType) -> None:
    watch = Watch()
    _, result = toy.run("mf", TrainerConfig(batch_size=100, max_epochs=2), observer=watch)
    n_batches = -(-len(toy.random_interactions()) // 100)
    assert watch.started == (0, 2)
    assert watch.batches == [(epoch, batch, n_batches) for epoch in range(2) for batch in range(n_batches)]
    assert tuple(watch.records) == result.history


def test_closed_form_is_fitted_and_validated_once(toy: ModuleType) -> None:
    watch, calls = Watch(), []
    context = ModelContext(toy.random_interactions())
    model = toy.ToyClosed()

    def validate(trained: Recommender) -> Validation:
        calls.append(trained)
        return Validation(0.25, {"m": 0.25})

    result = train(model, context, TrainerConfig(), validate, Seeds(0), CPU, observer=watch)
    assert calls == [model]
    assert not model.training
    assert (result.best_epoch, result.best_score, result.epochs_run, result.stopped_by) == (0, 0.25, 1, "closed_form")
    (record,) = result.history
    assert set(record.as_json()) == {"epoch", "train_seconds", "validate_seconds", "cpu_seconds", "valid"}
    assert watch.records == [record]
    assert watch.started == (0, 1)


def test_model_of_neither_kind_is_refused(toy: ModuleType) -> None:
    class Neither(Recommender):
        def export(self) -> None: ...

    context = ModelContext(toy.random_interactions())
    with pytest.raises(ModelError, match="Neither is neither"):
        train(Neither(), context, TrainerConfig(), toy.validate, Seeds(0), CPU)


def test_what_is_no_recommender_is_trained_by_the_same_loop() -> None:
    class Centre(GradientModel):
        """Learns the mean id of its items."""

        batch_kind = Items

        def __init__(self) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(()))

        def loss(self, batch: Items) -> LossTerms:
            return {"distance": (batch.ids - self.mean).square().mean()}

    @dataclass(frozen=True)
    class ItemsAlone:
        train: np.ndarray

    def validate(model: Centre) -> Validation:
        distance = abs(model.mean.item() - 3.0)
        return Validation(-distance, {"distance": distance})

    model, config = Centre(), TrainerConfig(learning_rate=0.1, batch_size=2, max_epochs=100)
    result = train(model, ItemsAlone(np.array([1, 2, 6])), config, validate, Seeds(0), CPU)
    assert result.best_score == pytest.approx(0, abs=0.2)
    assert model.mean.item() == pytest.approx(3, abs=0.2)


def test_unknown_batch_kind_is_refused(toy: ModuleType) -> None:
    model, context = toy.build("mf")
    type(model).batch_kind, kept = dict, type(model).batch_kind
    try:
        with pytest.raises(ModelError, match="batch_kind of ToyMF must be one of Pairs, Triplets, Items"):
            train(model, context, TrainerConfig(), toy.validate, Seeds(0), CPU)
    finally:
        type(model).batch_kind = kept


def test_non_finite_loss_names_term_epoch_and_batch(toy: ModuleType) -> None:
    class Breaks(toy.ToyMF):
        calls = 0

        def loss(self, batch: Triplets) -> LossTerms:
            terms = super().loss(batch)
            type(self).calls += 1
            if type(self).calls == 2 * n_batches + 2:  # the second batch of the third epoch
                terms["reg"] = terms["reg"] / 0.0
            return terms

    context = ModelContext(toy.random_interactions(), seeds=Seeds(0))
    n_batches = -(-len(context.train) // 64)
    with pytest.raises(TrainingError, match=r"'reg' is inf in epoch 2, batch 1"):
        train(Breaks(context), context, TrainerConfig(batch_size=64), toy.validate, Seeds(0), CPU)


def test_parameters_that_overflow_in_the_last_step_are_noticed(toy: ModuleType) -> None:
    class Overflows(toy.ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            return {"big": 1e38 * self.users[0, 0] * 1e38 + 0 * self.items.sum()}

    context = ModelContext(toy.random_interactions(), seeds=Seeds(0))
    model = Overflows(context)
    with torch.no_grad():
        model.users.zero_()
    config = TrainerConfig(optimizer="sgd", max_epochs=1)
    with pytest.raises(TrainingError, match=r"parameter 'users' is not finite after epoch 0"):
        train(model, context, config, toy.validate, Seeds(0), CPU)


def test_large_finite_parameters_are_no_overflow(toy: ModuleType) -> None:
    model, context = toy.build("mf")
    model.register_parameter("large", nn.Parameter(torch.full((4,), 3e38)))  # the sum of these is inf
    model.register_parameter("none", nn.Parameter(torch.zeros(0)))
    assert train(model, context, TrainerConfig(max_epochs=2), toy.validate, Seeds(0), CPU).epochs_run == 2


def test_nan_score_is_refused(toy: ModuleType) -> None:
    model, context = toy.build("mf")
    with pytest.raises(TrainingError, match="validation score of epoch 1 is nan"):
        train(model, context, TrainerConfig(), scores(0.5, math.nan), context.seeds, CPU)


def test_user_without_negatives_is_refused(toy: ModuleType) -> None:
    train_part = toy.random_interactions().select(np.arange(1))
    context = ModelContext(train_part)
    with pytest.raises(DataError, match="no negative item"):
        train(toy.ToyMF(context), context, TrainerConfig(), toy.validate, Seeds(0), CPU)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), "allocate"])
def test_too_little_memory_is_our_error(toy: ModuleType, error: Exception | str) -> None:
    class Greedy(toy.ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            if isinstance(error, str):
                torch.empty(1 << 55)
            raise error

    context = ModelContext(toy.random_interactions())
    with pytest.raises(ResourceError, match=r"too little memory for training on cpu. Lower trainer.batch_size \(now 9"):
        train(Greedy(context), context, TrainerConfig(batch_size=9), toy.validate, Seeds(0), CPU)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublas`")])
@pytest.mark.parametrize("kind", ["ToyMF", "ToyClosed"])
def test_too_little_memory_in_validation_is_our_error(toy: ModuleType, kind: str, error: Exception) -> None:
    def validate(_: Recommender) -> Validation:
        raise error

    context = ModelContext(toy.random_interactions())
    model = toy.ToyClosed() if kind == "ToyClosed" else toy.ToyMF(context)
    with pytest.raises(ResourceError, match="too little memory for validation on cpu"):
        train(model, context, TrainerConfig(), validate, Seeds(0), CPU)


def test_what_torch_holds_and_does_not_use_is_free(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model, device = toy.ToyMF(ModelContext(toy.random_interactions())), torch.device("cuda")
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    held = {"mem_get_info": (size, 99 * size), "memory_reserved": 9 * size, "memory_allocated": 6 * size}
    for name, value in held.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    check_training_memory(model, device)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 7 * size)
    with pytest.raises(ResourceError, match=r"are free\. Lower model\.embedding_dim"):
        check_training_memory(model, device)


def test_other_errors_of_a_model_pass_through(toy: ModuleType) -> None:
    class Wrong(toy.ToyMF):
        def loss(self, batch: Triplets) -> LossTerms:
            raise RuntimeError("a fault of the model")

    context = ModelContext(toy.random_interactions())
    with pytest.raises(RuntimeError, match="a fault of the model"):
        train(Wrong(context), context, TrainerConfig(), toy.validate, Seeds(0), CPU)


def test_loop_equals_a_plain_one(toy: ModuleType) -> None:
    """The loop, written out with torch alone on the same batches, gives the same weights bit by bit."""
    from mmrec_bench.training.batches import TripletBatches

    config = TrainerConfig(learning_rate=0.01, weight_decay=1e-3, batch_size=64, max_epochs=3)
    model, context = toy.build("mf")
    train(model, context, config, scores(0.1, 0.2, 0.3), context.seeds, CPU)
    plain, _ = toy.build("mf")
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01, weight_decay=1e-3, fused=True)
    source = TripletBatches(context.train, 64, context.seeds, CPU)
    for epoch in range(3):
        for batch in source.epoch(epoch):
            optimizer.zero_grad()
            torch.stack(list(plain.loss(batch).values())).sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert isinstance(model.users, nn.Parameter)


@pytest.mark.gpu
def test_training_on_cuda(toy: ModuleType) -> None:
    interactions, truth = toy.checkerboard()
    context = ModelContext(interactions, seeds=Seeds(1))
    context.seeds.seed_global("init")
    model = toy.ToyMF(context)

    def validate(trained: Recommender) -> Validation:
        recall = toy.recall_at_1(interactions, truth, trained.cpu())
        trained.to("cuda")
        return Validation(recall, {"recall@1": recall})

    config = TrainerConfig(learning_rate=0.05, batch_size=64, max_epochs=60, patience=60)
    result = train(model, context, config, validate, context.seeds, torch.device("cuda"))
    assert result.best_score == 1.0
    assert model.users.device.type == "cuda"
