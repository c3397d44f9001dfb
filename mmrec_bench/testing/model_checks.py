"""Checks of what a retrieval model does: what it refuses, what it computes, what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import ClosedFormRecommender, GradientRecommender, ModelContext
from mmrec_bench.retrieval.base import Representations, Scorer
from mmrec_bench.testing.subjects import (
    Subject,
    all_scores,
    backward,
    batch_for,
    fail,
    first_loss,
    require,
    require_what_seeds_do,
    tiny_context,
    without,
)


def check_features_are_asked_for(subject: Subject) -> None:
    """Missing modalities are refused by name; a modality that is not required may be missing."""
    context = subject.context()
    required = subject.needs.modalities
    for modality in required:
        error = _refusal(subject, without(context, [modality]), f"without features of '{modality}'")
        require(modality in str(error), subject, f"the refusal must name the missing modality '{modality}': {error}")
    if subject.needs.features:
        _refusal(subject, without(context, tuple(context.features)), "without any features")
    else:
        subject.build(without(context, tuple(context.features)))
    for modality in set(context.features) - set(required):
        _finite_scores(subject, without(context, [modality]), f"without features of '{modality}'")


def check_time_is_asked_for(subject: Subject) -> None:
    """A model that needs time refuses data without, and others do not care."""
    context = tiny_context(tuple(subject.context().features), time=False)
    if subject.needs.time:
        error = _refusal(subject, context, "without timestamps or an order")
        require("time" in str(error), subject, f"the refusal must speak of time: {error}")
    else:
        subject.build(context)


def check_determinism(subject: Subject) -> None:
    """One seed gives bit-identical parameters, losses, gradients and scores; another differs where seeds matter."""
    first, second, other = (_trace(subject, seed) for seed in (3, 3, 4))
    differing = [key for key in first if not torch.equal(first[key], second[key])]
    require(not differing, subject, f"one seed twice gives different {', '.join(differing)}")
    require_what_seeds_do(subject, first, other)


def check_export(subject: Subject) -> None:
    """The export has the right kind, shapes and dtypes, carries no gradient, and changes nothing in the model."""
    context = subject.context()
    model = subject.trained(context)
    model.train()
    before = _copies(model.state_dict())
    torch.manual_seed(1)
    scoring, first = model.export(), all_scores(model.export())
    torch.manual_seed(2)
    again = all_scores(model.export())
    vectors = isinstance(scoring, Representations)
    require(vectors or isinstance(scoring, Scorer), subject, f"export() gives no Scoring but {type(scoring).__name__}")
    kind = "vectors" if vectors else "scorer"
    require(kind == subject.needs.exports, subject, f"registered as exports={subject.needs.exports}, exports {kind}")
    if isinstance(scoring, Representations):
        tracked = scoring.users.requires_grad or scoring.items.requires_grad
        require(not tracked, subject, "exported vectors still track gradients")
        owned = {tensor.data_ptr() for tensor in model.parameters()}
        shared = {scoring.users.data_ptr(), scoring.items.data_ptr()} & owned
        require(not shared, subject, "exported vectors share memory with parameters and would change with them")
    shape = (context.train.n_users, context.train.n_items)
    require((scoring.n_users, scoring.n_items) == shape, subject, f"exports {scoring.n_users} x {scoring.n_items}")
    require(tuple(first.shape) == shape, subject, f"scores have the shape {tuple(first.shape)}; expected {shape}")
    require(first.dtype == torch.float32, subject, f"scores must be float32; got {first.dtype}")
    require(torch.equal(first, again), subject, "two exports differ: something random is on in export()")
    require(model.training, subject, "export() leaves the model in evaluation mode; restore the mode it found")
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    require(not changed, subject, f"export() changes {', '.join(changed)}")
    if not vectors:
        users = torch.tensor([5, 0, 5, context.train.n_users - 1])
        part = scoring.scores(users).cpu() if isinstance(scoring, Scorer) else first
        require(torch.allclose(part, first[users]), subject, "scores of a user depend on who else is asked for")


def check_loss(subject: Subject) -> None:
    """Loss terms are named finite scalars, also for one pair alone, and the batch is left as it was."""
    context = subject.context()
    model = subject.build(context)
    if not isinstance(model, GradientRecommender):
        return
    for size in (None, 1):
        terms = first_loss(model, context, size=size)
        require(bool(terms), subject, "loss() gives no term")
        for name, term in terms.items():
            what = f"loss term '{name}' of a batch of {size or len(context.train)}"
            require(term.shape == (), subject, f"{what} must be a scalar; got the shape {tuple(term.shape)}")
            require(bool(torch.isfinite(term)), subject, f"{what} is {term.item()}")
    batch, copy = batch_for(model, context), batch_for(model, context)
    model.loss(batch)
    for item in fields(batch):
        same = torch.equal(getattr(batch, item.name), getattr(copy, item.name))
        require(same, subject, f"loss() changes '{item.name}' of the batch it is given")


def check_gradients(subject: Subject) -> None:
    """Every parameter that asks for a gradient gets one: finite and not all zero."""
    context = subject.context()
    model = subject.build(context)
    if not isinstance(model, GradientRecommender):
        return
    backward(first_loss(model, context))
    parameters = dict(model.named_parameters())
    require(bool(parameters), subject, "a gradient model has no parameter")
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            gradient = parameter.grad
            if gradient is None:
                raise fail(subject, f"no gradient reaches parameter '{name}'")
            require(bool(torch.isfinite(gradient).all()), subject, f"the gradient of '{name}' is not finite")
            require(bool(gradient.any()), subject, f"the gradient of '{name}' is zero everywhere")


def check_save_and_load(subject: Subject) -> None:
    """Weights written as safetensors and loaded into a model built with another seed give the same export."""
    context = subject.context()
    model = subject.trained(context)
    saved = safetensors.torch.save(model.state_dict())
    loaded = subject.build(subject.context(seed=99))
    loaded.load_state_dict(safetensors.torch.load(saved), strict=True)
    same = torch.equal(all_scores(model.export()), all_scores(loaded.export()))
    require(same, subject, "a model with loaded weights scores differently: its state_dict misses something")


def check_odd_users_and_items(subject: Subject) -> None:
    """A user without history, items without training interactions or features: all scores are finite."""
    _finite_scores(subject, subject.context(), "with cold users, cold items and missing features")


def check_inputs_are_untouched(subject: Subject) -> None:
    """Training writes neither into the interactions nor into the feature tables it was given."""
    context = subject.context()
    before = _fingerprints(context)
    subject.trained(context)
    require(_fingerprints(context) == before, subject, "training changes the data it was given; copy what is trained")


def check_device_moves(subject: Subject) -> None:
    """``model.to(device)`` moves every tensor the model holds: none is kept outside parameters and buffers."""
    model = subject.trained(subject.context())
    model.to(torch.device("meta"))
    left = [name for name, tensor in _attributes(model) if tensor.device.type != "meta"]
    require(not left, subject, f"model.to(device) leaves these behind; register them as buffers: {', '.join(left)}")


def check_on(subject: Subject, device: torch.device, tolerance: float = 1e-4) -> None:
    """On ``device`` the model trains and exports there, with the scores of the CPU within ``tolerance``."""
    context = subject.context()
    model = subject.trained(context)
    expected = all_scores(model.export())
    scoring = model.to(device).export()
    where = scoring.users.device if isinstance(scoring, Representations) else scoring.scores(torch.arange(1)).device
    require(where.type == device.type, subject, f"on {device} it exports tensors on {where}")
    got = all_scores(scoring)
    require(torch.allclose(got, expected, rtol=tolerance, atol=tolerance), subject, f"scores differ on {device}")
    fresh = subject.build(context).to(device)
    if isinstance(fresh, GradientRecommender):
        terms = first_loss(fresh, context)
        backward(terms)
        require(all(term.device.type == device.type for term in terms.values()), subject, f"loss is not on {device}")
    elif isinstance(fresh, ClosedFormRecommender):
        fresh.fit(context)
        got = all_scores(fresh.export())
        require(torch.allclose(got, expected, rtol=tolerance, atol=tolerance), subject, f"fits otherwise on {device}")


def _refusal(subject: Subject, context: ModelContext, when: str) -> ModelError:
    try:
        subject.build(context)
    except ModelError as error:
        return error
    raise fail(subject, f"it must raise ModelError at construction {when}; it does not")


def _finite_scores(subject: Subject, context: ModelContext, when: str) -> None:
    scores = all_scores(subject.trained(context).export())
    bad = int((~torch.isfinite(scores)).any(dim=0).sum())
    require(bad == 0, subject, f"{bad} items have scores that are not finite {when}")


def _trace(subject: Subject, seed: int) -> dict[str, Tensor]:
    """Return everything a seed decides: initial state, loss terms, gradients, scores after training."""
    context = subject.context(seed)
    model = subject.build(context)
    trace = {f"state '{key}'": value for key, value in _copies(model.state_dict()).items()}
    if isinstance(model, GradientRecommender):
        terms = first_loss(model, context)
        backward(terms)
        trace |= {f"loss term '{key}'": term.detach() for key, term in terms.items()}
        named = model.named_parameters()
        trace |= {f"gradient '{key}'": value.grad for key, value in named if value.grad is not None}
    trace["scores"] = all_scores(subject.trained(context).export())
    return trace


def _copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}


def _fingerprints(context: ModelContext) -> list[str]:
    return [context.train.fingerprint(), *(table.fingerprint() for table in context.features.values())]


def _attributes(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor found in a module's attributes, with its path, looking into containers and dataclasses."""
    pending: list[tuple[str, Any]] = [
        (f"{path}.{key}".lstrip("."), value)
        for path, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in ("_modules",)
    ]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Tensor):
            yield path.replace("_buffers.", "").replace("_parameters.", ""), value
        elif isinstance(value, dict):
            pending += [(f"{path}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(f"{path}[{place}]", item) for place, item in enumerate(value)]
        elif is_dataclass(value) and not isinstance(value, type):
            pending += [(f"{path}.{item.name}", getattr(value, item.name)) for item in fields(value)]
