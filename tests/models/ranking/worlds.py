"""Lists to test rankers on: a tiny odd batch, and logged impressions whose truth is known."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch

from mmrec_bench.clicks.causes import PopularityBias
from mmrec_bench.clicks.position import PositionBasedModel
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.metrics.graded import GRADED_METRICS
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.base import ListBatch, Ranker, RankingContext
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.types import IntArray

CPU = torch.device("cpu")
LENGTH, N_FEATURES, N_ITEMS, BATCH = 10, 8, 200, 64


def odd_context(seed: int = 0) -> RankingContext:
    """Five lists of 1 to 6 rows of distinct labels, one without clicks and labels, and one item without image."""
    rng = np.random.default_rng(3)
    lengths = np.array([4, 1, 6, 3, 5])
    n = int(lengths.sum())
    clicks = rng.random(n) < 0.5
    list_of = np.repeat(np.arange(5), lengths)
    clicks[list_of == 3] = False
    positions = np.concatenate([rng.permutation(length) + 1 for length in lengths])
    clicks[(list_of == 0) & (positions == 1)] = True
    clicks[(list_of == 0) & (positions > 1)] = False
    lists = Lists(
        list_of=list_of,
        items=rng.integers(12, size=n),
        n_items=12,
        users=np.array([0, 1, 2, 0, 1]),
        n_users=3,
        features=rng.standard_normal((n, 4)).astype(np.float32),
        positions=positions,
        clicks=clicks,
        labels=np.where(list_of == 3, 0, np.concatenate([rng.permutation(length) for length in lengths])),
        propensities=rng.uniform(0.2, 1.0, n).astype(np.float32),
        histories=Histories(np.array([0, 3, 3, 4, 9, 11]), np.arange(11) % 7),
    )
    present = np.arange(12) != 5
    table = FeatureTable("image", rng.standard_normal((12, 3)).astype(np.float32), present, "random")
    return RankingContext(lists, {"image": table}, seeds=Seeds(seed), batch_size=lists.n_lists)


def odd_batch(context: RankingContext, teaches: Any, device: torch.device = CPU) -> ListBatch:
    """All lists of a context as one batch, with the latest 4 items of their histories."""
    lists = PaddedLists(context.train, np.arange(context.train.n_items), device, history_length=4)
    return lists.batch(torch.arange(context.train.n_lists, device=device), teaches)


def build(name: str, context: RankingContext, **options: Any) -> Any:
    """Build a registered ranker."""
    context.seeds.seed_global("init")
    return MODELS[name].build(MODELS[name].config.model_validate({"name": name, **options}), context)


def logged(n_lists: int, severity: float, logging: float, seed: int = 0, popularity: bool = False) -> Lists:
    """Lists in the order of a logging policy, clicked under position bias.

    Half of the features tell of relevance and half of a nuisance. The policy orders by nuisance, with weight `logging`,
    plus noise: what is shown at the top looks clicked because it is seen.

    Args:
        n_lists: Number of lists.
        severity: Exponent of eye-tracking position bias.
        logging: Weight of the nuisance in the policy; 0 is a random order.
        seed: Of everything.
        popularity: Whether rare items are overlooked.
    """
    rng = np.random.default_rng(seed)
    shape = (n_lists, LENGTH)
    shares = 1.0 / np.arange(1, N_ITEMS + 1)
    items = np.random.default_rng((seed, 1)).choice(N_ITEMS, size=shape, p=shares / shares.sum())
    relevance, nuisance, noise = rng.standard_normal((3, *shape))
    order = np.argsort(-(logging * nuisance + noise), axis=1)
    relevance, nuisance = (np.take_along_axis(values, order, axis=1) for values in (relevance, nuisance))
    causes = np.stack([relevance, nuisance], axis=2).repeat(N_FEATURES // 2, axis=2)
    features = causes + 0.7 * rng.standard_normal(causes.shape)
    labels = np.searchsorted((0.0, 0.7, 1.2, 1.8), relevance)
    model = PositionBasedModel(severity=severity, popularity=PopularityBias() if popularity else None)
    clicked = model.simulate(labels, rng, shares[items])
    return Lists(
        list_of=np.repeat(np.arange(n_lists), LENGTH),
        items=items.reshape(-1),
        n_items=N_ITEMS,
        users=np.zeros(n_lists, np.int64),
        n_users=1,
        features=features.reshape(-1, N_FEATURES).astype(np.float32),
        positions=np.tile(np.arange(1, LENGTH + 1), n_lists),
        clicks=clicked.clicks.reshape(-1),
        labels=labels.reshape(-1),
        propensities=clicked.propensities.reshape(-1).astype(np.float32),
    )


def ndcg(ranker: Ranker, lists: Lists) -> float:
    """Return NDCG@5 against true labels."""
    padded = PaddedLists(lists, np.random.default_rng(1).permutation(lists.n_items), CPU, ranker.history_length)
    return ndcg_of(ranker.eval().arrange(padded.inputs(torch.arange(lists.n_lists))).order.numpy(), lists)


def chance(lists: Lists) -> float:
    """Return NDCG@5 of random orders."""
    return ndcg_of(np.random.default_rng(2).random((lists.n_lists, LENGTH)).argsort(axis=1), lists)


def ndcg_of(order: IntArray, lists: Lists) -> float:
    """Return NDCG@5 of orders ``[n, L]``."""
    assert lists.labels is not None
    ranked = np.take_along_axis(lists.labels.reshape(lists.n_lists, -1), order, axis=1)
    found = GRADED_METRICS["ndcg"](ranked, (5,))
    return float(found.values[found.counted].mean())


def fit(name: str, lists: Lists, epochs: int, learning_rate: float = 3e-3, **options: Any) -> Any:
    """Return a ranker trained for some epochs, without selection."""
    context = RankingContext(lists, seeds=Seeds(0), batch_size=BATCH)
    model = build(name, context, **options)
    config = TrainerConfig(
        batch_size=BATCH, max_epochs=epochs, validate_every=epochs, learning_rate=learning_rate, patience=epochs
    )
    train(model, context, config, lambda _: Validation(0.0, {}), context.seeds, CPU)
    return model.eval()


@functools.cache
def severe() -> tuple[Lists, Lists]:
    """Training lists of a biased policy under severe position bias, and test lists."""
    return logged(4_000, severity=2.0, logging=2.0), logged(500, severity=1.0, logging=0.0, seed=1)


@functools.cache
def biased() -> tuple[Lists, float]:
    """Training lists of a milder policy and bias, and NDCG@5 on the test lists of `severe` of who takes its clicks."""
    train_lists = logged(4_000, severity=1.0, logging=1.0)
    return train_lists, ndcg(fit("mlp", train_lists, 4, learns_from="clicks", loss="pointwise"), severe()[1])


@functools.cache
def naive() -> float:
    """NDCG@5 of a perceptron that takes clicks of `severe` as they are."""
    train_lists, test = severe()
    return ndcg(fit("mlp", train_lists, 4, learns_from="clicks", loss="pointwise"), test)


def contextual(n_lists: int, seed: int = 0) -> Lists:
    """Lists of two kinds, which no row tells, but all together do: whether large values of a feature are good or bad.

    They are shown in falling order of relevance plus noise.
    """
    rng = np.random.default_rng(seed)
    shape = (n_lists, LENGTH)
    kind = rng.choice([-1.0, 1.0], size=(n_lists, 1))
    value, hint = rng.standard_normal(shape), kind + 2 * rng.standard_normal(shape)
    order = np.argsort(-kind * value + rng.standard_normal(shape), axis=1)
    value, hint = np.take_along_axis(value, order, axis=1), np.take_along_axis(hint, order, axis=1)
    return Lists(
        list_of=np.repeat(np.arange(n_lists), LENGTH),
        items=np.concatenate([rng.permutation(N_ITEMS)[:LENGTH] for _ in range(n_lists)]),
        n_items=N_ITEMS,
        users=np.zeros(n_lists, np.int64),
        n_users=1,
        features=np.stack([value, hint], axis=2).reshape(-1, 2).astype(np.float32),
        positions=np.tile(np.arange(1, LENGTH + 1), n_lists),
        labels=np.searchsorted((0.0, 0.7, 1.2, 1.8), kind * value).reshape(-1),
    )


def shown_at_random(lists: Lists) -> Lists:
    """Lists in another order of rows, which says nothing."""
    order = np.lexsort((np.random.default_rng(4).random(len(lists)), lists.list_of))
    names = ("items", "features", "labels")
    return dataclasses.replace(lists, **{name: getattr(lists, name)[order] for name in names})
