"""What the contract checks work on: a tiny world with every oddity, and a model built, trained and scored in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import (
    MODELS,
    Batch,
    ClosedFormRecommender,
    GradientRecommender,
    LossTerms,
    ModelConfig,
    ModelContext,
    ModelEntry,
    Pairs,
    Preset,
    Recommender,
    Triplets,
)
from mmrec_bench.models.needs import Needs
from mmrec_bench.retrieval.base import Representations, Scoring
from mmrec_bench.seeding import Seeds

COLD_USER = 12
"""The user without a training interaction."""
COLD_ITEMS = (28, 29)
"""Items without a training interaction; the last lacks all modalities, too."""


def tiny_context(modalities: Sequence[str] = ("image", "text"), *, time: bool = True, seed: int = 0) -> ModelContext:
    """Return 13 users and 30 items with a cold user, cold items, and items that lack one or all modalities.

    Args:
        modalities: Names of the feature tables; their lengths are 8, 6, 4, 2, 2, ...
        time: Whether interactions carry timestamps and an order.
        seed: Seed of the run; the data are always the same.
    """
    n_users, n_items, dim = COLD_USER + 1, COLD_ITEMS[-1] + 1, 8
    random = np.random.default_rng(7)
    draws = [random.choice(COLD_ITEMS[0], size=4 + user % 4, replace=False) for user in range(COLD_USER)]
    users = np.repeat(np.arange(COLD_USER), [len(draw) for draw in draws])
    order = random.permutation(len(users))
    train = Interactions(
        users, np.concatenate(draws), n_users, n_items,
        order=order if time else None, timestamps=1_600_000_000 + 86_400 * order if time else None,
    )  # fmt: skip
    features = {}
    for place, modality in enumerate(modalities):
        values = random.standard_normal((n_items, max(dim - 2 * place, 2))).astype(np.float32)
        present = np.ones(n_items, np.bool_)
        present[[place, len(modalities), COLD_ITEMS[-1]]] = False
        features[modality] = FeatureTable(modality, values, present, "random")
    return ModelContext(train, features, seeds=Seeds(seed), batch_size=len(train))


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered model and the config keys to test it with.

    Attributes:
        entry: The registered model.
        options: Config keys besides the name, such as ``{"preset": "released"}``.
    """

    entry: ModelEntry
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_options(self, **options: Any) -> Subject:
        """Return the same model with more, or other, config keys."""
        return Subject(self.entry, {**self.options, **options})

    def config(self) -> ModelConfig:
        """Return the config of the options."""
        return self.entry.config.model_validate({"name": self.entry.name, **self.options})

    @property
    def needs(self) -> Needs:
        """What the model, with the models inside it, asks of the data."""
        inner = (part for config in self.config().nested for part in config.parts())
        return Needs.of([self.entry, *(MODELS[part.name] for part in inner)])

    def __str__(self) -> str:
        """Return label and presets, which tell the subjects of `every_subject` apart."""
        presets = dict.fromkeys(part.preset for part in self.config().parts())
        return f"{self.config().label}-{'-'.join(presets)}"

    def context(self, seed: int = 0) -> ModelContext:
        """Return the tiny world, with image, text and whatever modality the model cannot do without."""
        return tiny_context(tuple(dict.fromkeys(("image", "text", *self.needs.modalities))), seed=seed)

    def build(self, context: ModelContext) -> Recommender:
        """Return the untrained model, its initial values drawn from the context's seed."""
        context.seeds.seed_global("contract-init")
        model = self.entry.build(self.config(), context)
        if not isinstance(model, GradientRecommender | ClosedFormRecommender):
            kind = type(model).__name__
            raise fail(self, f"{kind} must be a GradientRecommender or a ClosedFormRecommender")
        return model

    def trained(self, context: ModelContext, *, epochs: int = 2) -> Recommender:
        """Return the model after ``epochs`` Adam steps on all pairs at once, or after fitting."""
        model = self.build(context)
        if isinstance(model, ClosedFormRecommender):
            model.fit(context)
            return model
        assert isinstance(model, GradientRecommender)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for epoch in range(epochs):
            optimizer.zero_grad()
            backward(first_loss(model, context, epoch=epoch))
            optimizer.step()
        return model


SMALL: Mapping[str, Mapping[str, Any]] = MappingProxyType({"motor": {"n_subspaces": 2, "n_codes": 4}})
"""Config keys by which a model fits into a world of few items."""


def every_subject(preset: Preset = "clean") -> list[Subject]:
    """Return every registered retrieval model; a model around another, around each that its config accepts."""
    entries = [MODELS[name] for name in MODELS if MODELS[name].task == "retrieval"]
    return [subject for entry in entries for subject in _around(entry, preset)]


def _around(entry: ModelEntry, preset: Preset) -> list[Subject]:
    subject = Subject(entry, {"preset": preset, **SMALL.get(entry.name, {})})
    fields = entry.config.model_fields.items()
    inner = [key for key, info in fields if info.is_required() and info.annotation is ModelConfig]
    if not inner:
        return [subject]
    hosts = [{"name": name, "preset": preset, **SMALL.get(name, {})} for name in MODELS]
    tried = [subject.with_options(**dict.fromkeys(inner, host)) for host in hosts]
    return [subject for subject in tried if _is_valid(subject)]


def _is_valid(subject: Subject) -> bool:
    try:
        subject.config()
    except ValidationError:
        return False
    return True


def fail(subject: Subject, broken: str) -> AssertionError:
    """Return the error that says what is broken, and with which options."""
    options = ", ".join(f"{key}={value}" for key, value in subject.options.items())
    return AssertionError(f"{subject.entry.name}{f' ({options})' if options else ''}: {broken}")


def require(holds: bool, subject: Subject, broken: str) -> None:
    """Raise the error of `fail` unless ``holds``."""
    if not holds:
        raise fail(subject, broken)


def require_what_seeds_do(subject: Subject, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Raise the error of `fail` unless two seeds do what the model is registered for.

    Args:
        subject: The model.
        one: What a seed decides, by name; initial parameters begin with ``state``.
        other: The same for another seed.
    """
    moved = [key for key in one if not torch.equal(one[key], other[key])]
    if subject.entry.deterministic:
        words = f"another seed moves {', '.join(moved)} of a closed form; set `draws = True` in its class"
        require(not moved, subject, words)
    elif subject.entry.closed_form:
        require(bool(moved), subject, "its class sets `draws`, and another seed moves nothing")
    else:
        deaf = not any(key.startswith("state") for key in moved)
        require(not deaf, subject, "another seed gives the same initial parameters")


def batch_for(model: GradientRecommender, context: ModelContext, *, size: int | None = None) -> Batch:
    """Return the first ``size`` training pairs (all by default), with negatives from all other items if it takes any.

    Negatives include cold items and items without any modality.
    """
    users, items = context.train.users[:size], context.train.items[:size]
    device = device_of(model)
    pairs = Pairs(torch.tensor(users, device=device), torch.tensor(items, device=device))
    if model.batch_kind is Pairs:
        return pairs
    unseen = context.train.matrix().toarray()[users] == 0
    ranks = np.where(unseen, context.seeds.numpy("contract-negatives").random(unseen.shape), -1.0)
    return Triplets(pairs.users, pairs.items, torch.tensor(ranks.argmax(axis=1), device=device))


def first_loss(
    model: GradientRecommender, context: ModelContext, *, epoch: int = 0, size: int | None = None
) -> LossTerms:
    """Return the loss terms of the first batch of an epoch, as a trainer would ask for them."""
    model.train()
    context.seeds.seed_global("contract-epoch", epoch)
    model.on_epoch_start(epoch)
    return model.loss(batch_for(model, context, size=size))


def backward(terms: LossTerms) -> None:
    """Add the gradients of the sum of the terms to the parameters."""
    torch.autograd.backward(torch.stack(list(terms.values())).sum())


def all_scores(scoring: Scoring) -> Tensor:
    """Return the scores of all items for all users, float32 ``[n_users, n_items]`` on the CPU."""
    if isinstance(scoring, Representations):
        users, items = scoring.users, scoring.items
        if scoring.similarity == "cosine":
            users, items = F.normalize(users, dim=1), F.normalize(items, dim=1)
        return (users @ items.T).cpu()
    return scoring.scores(torch.arange(scoring.n_users)).cpu()


def device_of(model: Recommender) -> torch.device:
    """Return the device of the model's parameters and buffers, the CPU if it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def without(context: ModelContext, modalities: Sequence[str]) -> ModelContext:
    """Return the context without these modalities."""
    kept = {name: table for name, table in context.features.items() if name not in modalities}
    return replace(context, features=kept)
