"""The one training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmrec_bench.errors import ArtefactError, ModelError, TrainingError
from mmrec_bench.free_memory import freed_memory_kept
from mmrec_bench.models.base import ClosedForm, GradientModel
from mmrec_bench.models.ctr.base import PointBatch
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.batches import SOURCES, BatchSource
from mmrec_bench.training.checkpoint import CheckpointStore, Origin, TrainingState
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.loss_log import LossLog
from mmrec_bench.training.memory import memory_errors
from mmrec_bench.training.records import EpochRecord, Observer, SilentObserver, StoppedBy, TrainingResult, Validation
from mmrec_bench.training.share_check import check_shares
from mmrec_bench.training.stopping import Progress
from mmrec_bench.training.subnormals import subnormals_are_zero
from mmrec_bench.training.team import ALONE, Team

M = TypeVar("M", bound=nn.Module)


class Context(Protocol):
    """What a model was built from; the trainer reads no more of it than the training part."""

    @property
    def train(self) -> Any:
        """What the batches of the model are made of."""


@freed_memory_kept()
def train(
    model: M,
    context: Context,
    config: TrainerConfig,
    validate: Callable[[M], Validation],
    seeds: Seeds,
    device: torch.device,
    checkpoints: CheckpointStore | None = None,
    observer: Observer | None = None,
    resume: bool = False,
    team: Team = ALONE,
) -> TrainingResult:
    """Train a model and leave it with the weights of its best epoch.

    Args:
        model: A closed form, which is fitted and validated once, or a model trained by gradient steps.
        context: What the model was built from; holds the training part.
        config: How to train.
        validate: Measures the model, which is in evaluation mode; the trainer sees no other part of the data than the
            training part.
        seeds: Random streams of the run.
        device: Where to train; the model is moved there.
        checkpoints: Where to keep checkpoints; None keeps none. A closed form has none.
        observer: Told about every batch and epoch.
        resume: Go on from the checkpoint where there is one. On the same CPU, thread count and package versions the
            result is bit-identical to that of an unbroken run.
        team: Who shares the batches; each process calls this with the same arguments. Only the leader validates and
            keeps checkpoints; a closed form is not for several.

    Raises:
        TrainingError: A loss, a parameter or the validation score is not finite, or the loss breaks its contract.
        DataError: The training part is empty, or has no negatives for a user.
        ArtefactError: The checkpoint is damaged or belongs to another run.
        ResourceError: Too little memory, or no space for a checkpoint.
        ModelError: The model is of no known kind, or its batches cannot be shared.
    """
    observer = observer or SilentObserver()
    if isinstance(model, ClosedForm):
        return _fit(model, context, validate, seeds, device, observer)
    if not isinstance(model, GradientModel):
        raise ModelError(f"{type(model).__name__} is neither a GradientModel nor a ClosedForm")
    memory = partial(memory_errors, device, "training", f"Lower trainer.batch_size (now {config.batch_size})")
    with memory():
        model.to(device)
        source = batch_source(model, context, config, seeds, device)
        optimizer = config.make_optimizer(model.parameters())
        check_shares(model, source, seeds, team)
    origin = Origin.here(seeds.seed, device, team.size)

    progress, best, history = Progress(), dict[str, Tensor](), list[EpochRecord]()
    saved = checkpoints.load(origin) if checkpoints is not None and resume else None
    if saved is not None:
        _restore(model, optimizer, saved)
        progress, best, history = saved.progress, dict(saved.best), list(saved.history)
    observer.on_start(tuple(history), config.max_epochs)
    last_checkpoint = time.monotonic()

    for epoch in range(len(history), config.max_epochs):
        if progress.waited >= config.patience:
            break
        started, cpu_started = time.perf_counter(), time.process_time()
        learning_rate = config.learning_rate_at(epoch)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        with memory(), subnormals_are_zero() if config.weight_decay > 0 else nullcontext():
            terms = _train_epoch(model, source, optimizer, config, seeds, epoch, observer, team)
        trained = time.perf_counter()

        validation = None
        if (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.max_epochs:
            with memory_errors(device, "validation"):
                validation = team.led(partial(_validated, model, validate))
                progress = progress.after(epoch, validation)
                if progress.epoch == epoch:
                    best = _copied(model.state_dict(), best)
        record = EpochRecord(
            epoch=epoch,
            train_seconds=trained - started,
            validate_seconds=time.perf_counter() - trained if validation else 0.0,
            cpu_seconds=time.process_time() - cpu_started,
            learning_rate=learning_rate,
            loss=sum(terms.values()),
            terms=terms,
            valid=dict(validation.metrics) if validation else None,
        )
        history.append(record)
        observer.on_epoch(record)
        due = time.monotonic() - last_checkpoint >= config.checkpoint_seconds
        if checkpoints is not None and team.rank == 0 and due:
            state = TrainingState(model.state_dict(), optimizer.state_dict()["state"], best, progress, tuple(history))
            checkpoints.save(state, origin)
            last_checkpoint = time.monotonic()

    model.load_state_dict(best)
    model.eval()
    stopped_by: StoppedBy = "patience" if progress.waited >= config.patience else "max_epochs"
    return _result(progress, history, stopped_by)


def batch_source(
    model: GradientModel, context: Context, config: TrainerConfig, seeds: Seeds, device: torch.device
) -> BatchSource:
    """Return the source of what the model eats.

    Raises:
        DataError: The training part is empty, or has no negatives for a user.
        ModelError: There is no source for the batch kind of the model.
        TrainingError: The rows of the training part are to be taken in an order that they do not have.
    """
    if model.batch_kind not in SOURCES:
        known = ", ".join(kind.__name__ for kind in SOURCES)
        raise ModelError(f"batch_kind of {type(model).__name__} must be one of {known}; got {model.batch_kind!r}")
    options = dict(model.batch_options)
    if config.order != "random":
        if model.batch_kind is not PointBatch:
            raise TrainingError(
                f"trainer.order: {config.order} is for CTR models; {type(model).__name__} learns from "
                f"{model.batch_kind.__name__}. Remove it"
            )
        options["order"] = config.order
    return SOURCES[model.batch_kind](context.train, config.batch_size, seeds, device, **options)


def _fit(
    model: ClosedForm,
    context: Any,
    validate: Callable[[Any], Validation],
    seeds: Seeds,
    device: torch.device,
    observer: Observer,
) -> TrainingResult:
    """Fit a closed form and validate it."""
    observer.on_start((), 1)
    started, cpu_started = time.perf_counter(), time.process_time()
    seeds.seed_global("epoch", 0)
    with memory_errors(device, "fitting the model"):
        model.fit(context)
        model.to(device)
    fitted = time.perf_counter()
    with memory_errors(device, "validation"):
        validation = _validated(model, validate)
    record = EpochRecord(
        epoch=0,
        train_seconds=fitted - started,
        validate_seconds=time.perf_counter() - fitted,
        cpu_seconds=time.process_time() - cpu_started,
        learning_rate=None,
        loss=None,
        terms={},
        valid=dict(validation.metrics),
    )
    observer.on_epoch(record)
    return _result(Progress().after(0, validation), [record], "closed_form")


def _train_epoch(
    model: GradientModel,
    source: BatchSource,
    optimizer: Optimizer,
    config: TrainerConfig,
    seeds: Seeds,
    epoch: int,
    observer: Observer,
    team: Team,
) -> dict[str, float]:
    """Train one epoch and return the means of the loss terms."""
    seeds.seed_global("epoch", epoch)
    model.train()
    model.on_epoch_start(epoch)
    log = LossLog(epoch)
    for number, batch in enumerate(source.epoch(epoch)):
        log.add(config.step.step(team.losses(model, batch), optimizer, number, team))
        observer.on_batch(epoch, number, source.n_batches)
    means = log.means(team)
    _check_parameters(model, epoch)
    return means


def _check_parameters(model: nn.Module, epoch: int) -> None:
    """Refuse parameters that are not finite although every loss was: the last step can break what no loss has seen."""
    sums = torch.stack([parameter.detach().sum().double() for parameter in model.parameters()])
    if bool(torch.isfinite(sums).all()):  # one fast pass: whatever is not finite makes its sum so
        return
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise TrainingError(
                f"the parameter '{name}' is not finite after epoch {epoch} (from 0), though every loss was: a gradient "
                "overflowed. Lower trainer.learning_rate or set trainer.step.clip_norm"
            )


def _validated(model: M, validate: Callable[[M], Validation]) -> Validation:
    model.eval()
    with torch.no_grad():
        return validate(model)


def _copied(source: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors, into the memory of an earlier copy where there is one."""
    return {name: into[name].copy_(value) if name in into else value.clone() for name, value in source.items()}


def _restore(model: nn.Module, optimizer: Optimizer, saved: TrainingState) -> None:
    """Put the state of a checkpoint into a freshly built model and optimiser."""
    try:
        model.load_state_dict(saved.model)
        fresh = optimizer.state_dict()
        optimizer.load_state_dict({"state": saved.optimizer, "param_groups": fresh["param_groups"]})
    except (RuntimeError, ValueError, KeyError) as error:
        raise ArtefactError(f"the checkpoint does not fit the model: {error}") from error


def _result(progress: Progress, history: list[EpochRecord], stopped_by: StoppedBy) -> TrainingResult:
    assert progress.epoch is not None  # the last epoch is always validated
    return TrainingResult(progress.epoch, progress.score, progress.metrics, len(history), tuple(history), stopped_by)
