"""A small world with known truth, made from a seed: who likes what, why, and when.

Items have independent factors of three kinds. Image features carry a known share of the image factors, text features
of the text factors, and no feature carries the collaborative factors. A user is of one kind, has a taste over that
kind's factors alone, and chooses items in proportion to popularity x exp(taste strength x affinity), without
replacement. Popularity follows a power law and drifts; tastes can drift. `make_world` serves data-set cards of
``format: synthetic``.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.item_words import describe
from mmrec_bench.data.world import KINDS, FeatureConfig, Kind, World, WorldConfig, WorldTruth, products
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, IntArray, StringArray

BLOCK_CELLS = 1 << 20
"""User-item cells held at once, a few arrays of 8 MiB; the result does not depend on it."""


def make_world(config: WorldConfig, name: str) -> Dataset[Interactions]:
    """Return the data of a world, without the truth behind them."""
    return generate(config, name).dataset


def generate(config: WorldConfig, name: str = "synthetic") -> World:
    """Make a world: data and truth.

    Interactions are in time order. Row numbers of users and items follow neither kind nor popularity.

    Args:
        config: What to make.
        name: Name of the data set.
    """
    seeds = Seeds(config.seed)
    truth = _truth(config, seeds)
    features = {
        "image": _features("image", config.image, truth, seeds),
        "text": _features("text", config.text, truth, seeds),
    }
    popularity = np.exp(truth.log_popularity).sum(axis=0)
    dataset = Dataset(
        name,
        _interactions(truth, seeds),
        features,
        describe(config, truth.factors, popularity, seeds.numpy("world/words")),
        _external_ids("user", config.n_users),
        _external_ids("item", config.n_items),
        DataReport(missing={modality: table.n_missing for modality, table in features.items()}),
    )
    return World(dataset, truth)


def _truth(config: WorldConfig, seeds: Seeds) -> WorldTruth:
    k, n_items, n_users = config.factor_dim, config.n_items, config.n_users
    rng = seeds.numpy("world/items")
    # on a sphere, so that no item is liked more than its popularity says
    factors = _unit(rng.standard_normal((len(KINDS), n_items, k))) * np.sqrt(k)
    log_ranks = np.log(rng.permutation(n_items) + 1.0)
    trends = config.popularity_drift * rng.standard_normal(n_items)
    middles = (2 * np.arange(config.n_periods) + 1) / config.n_periods - 1
    log_popularity = middles[:, None] * trends - config.popularity_exponent * log_ranks
    log_popularity -= np.log(np.exp(log_popularity).sum(axis=1, keepdims=True))

    rng = seeds.numpy("world/users")
    shares = [config.users.image, config.users.text, config.users.collaborative]
    bounds = np.round(np.cumsum([0.0, *shares]) * n_users).astype(np.int64)
    tastes = _unit(rng.standard_normal((n_users, k)))
    turns = rng.standard_normal((n_users, k))
    turns = _unit(turns - (turns * tastes).sum(axis=1, keepdims=True) * tastes)
    return WorldTruth(
        config,
        user_kinds=rng.permutation(np.repeat(np.arange(len(KINDS)), np.diff(bounds))),
        tastes=tastes,
        turns=turns,
        life_starts=rng.random(n_users) * (1 - config.user_life),
        factors=factors,
        log_popularity=log_popularity,
    )


def _unit(rows: DoubleArray) -> DoubleArray:
    scaled: DoubleArray = rows / np.sqrt((rows**2).sum(axis=-1, keepdims=True))
    return scaled


def _features(kind: Kind, config: FeatureConfig, truth: WorldTruth, seeds: Seeds) -> FeatureTable:
    """Return factors @ loadings.T and independent noise, mixed by signal; a row has length 1 in the mean square."""
    rng = seeds.numpy(f"world/features/{kind}")
    factors = truth.factors[KINDS.index(kind)]
    loadings = _unit(rng.standard_normal((config.dim, factors.shape[1])))
    noise = rng.standard_normal((len(factors), config.dim))
    values = (config.signal / config.dim) ** 0.5 * products(factors, loadings)
    values += ((1 - config.signal) / config.dim) ** 0.5 * noise
    present = rng.permutation(len(factors)) >= round(config.missing * len(factors))
    return FeatureTable(kind, values.astype(np.float32), present, f"synthetic, signal {config.signal:g}")


def _interactions(truth: WorldTruth, seeds: Seeds) -> Interactions:
    config = truth.config
    counts = _activity(config, seeds.numpy("world/activity"))
    choices, times = seeds.numpy("world/choices"), seeds.numpy("world/times")
    block = max(1, BLOCK_CELLS // config.n_items)
    parts = []
    for start in range(0, config.n_users, block):
        users = np.arange(start, min(start + block, config.n_users))
        users, items = _choose(truth, users, counts[users], choices)
        parts.append((users, items, _seconds(truth, users, items, times)))
    users, items, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((items, users, seconds))
    return Interactions(users[order], items[order], config.n_users, config.n_items, timestamps=seconds[order])


def _activity(config: WorldConfig, rng: np.random.Generator) -> IntArray:
    """Return the number of interactions of each user, ``P(n) ~ n^-b``, with b such that the mean is the given one."""
    low, mean = config.min_interactions, config.mean_interactions
    counts = np.arange(low, config.max_interactions + 1)
    if mean == low:
        return np.full(config.n_users, low, np.int64)

    def probabilities(exponent: float) -> DoubleArray:
        weights = (counts / low) ** -exponent
        shares: DoubleArray = weights / weights.sum()
        return shares

    exponent = brentq(lambda exponent: float((counts * probabilities(exponent)).sum() - mean), 0.0, 1e3)
    return rng.choice(counts, size=config.n_users, p=probabilities(exponent)).astype(np.int64)


def _choose(
    truth: WorldTruth, users: IntArray, counts: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return the pairs of users and of the items they choose without replacement."""
    weights = truth.choice_weights(users)
    items = weighted_order(weights, int(counts.max()), rng)
    chosen = np.arange(items.shape[1]) < counts[:, None]
    return np.repeat(users, counts), items[chosen]


def weighted_order(weights: DoubleArray, k: int, rng: np.random.Generator) -> IntArray:
    """Return k draws without replacement in proportion to the weights of a row, in order, int64 ``[B, k]``.

    The first k of a race of exponential clocks with these rates, which is the Gumbel top-k of the log weights.
    """
    arrivals = rng.standard_exponential(weights.shape) / weights
    first = np.argpartition(arrivals, k - 1, axis=1)[:, :k] if k < weights.shape[1] else np.argsort(arrivals, axis=1)
    return np.take_along_axis(first, np.take_along_axis(arrivals, first, axis=1).argsort(axis=1), axis=1)


def _seconds(truth: WorldTruth, users: IntArray, items: IntArray, rng: np.random.Generator) -> IntArray:
    """Return when each pair happened: a period by its weight, then a uniform time of the user's life in it."""
    draws = rng.random((len(users), 2))  # by row, so that the size of a block does not matter
    cumulative = np.cumsum(truth.period_weights(users, items), axis=1)
    periods = (cumulative <= draws[:, :1] * cumulative[:, -1:]).sum(axis=1)
    begins, ends = truth.active_bounds(users, periods)
    return truth.seconds(begins + draws[:, 1] * (ends - begins))


def _external_ids(prefix: str, n: int) -> StringArray:
    digits = len(str(n - 1))
    return np.array([f"{prefix}-{row:0{digits}d}" for row in range(n)])
