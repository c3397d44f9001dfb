"""Logged lists of the synthetic world, with true labels and true probabilities of observation."""

from __future__ import annotations

import numpy as np

from mmrec_bench.data.lists import Lists
from mmrec_bench.data.synthetic import BLOCK_CELLS, weighted_order
from mmrec_bench.data.world import ImpressionConfig, World, WorldTruth, products
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, IntArray

LABEL_THRESHOLDS = (0.5, 1.0, 1.5, 2.0)
"""An affinity, in standard deviations, at or above the j-th threshold has at least the label j."""


def impressions(world: World) -> Lists:
    """Show lists to users, as `ImpressionConfig` says, and log what they click.

    A list is for a random user at a random time of its life. Its candidates are drawn without replacement by affinity
    and popularity; the logging policy orders them by a noisy mix of both. The label is the grade of the affinity,
    popularity apart. A row at rank r is observed with probability ``r^-eta * (f + (1 - f) * pop^gamma)``, kept in
    `Lists.propensities`; an observed row is clicked with the probability `attractions` of its label. Features of a row
    are noisy linear views of its affinity and log popularity.

    Returns:
        Lists in time order, all of one length, in the order shown.
    """
    truth, config = world.truth, world.truth.config
    logged = config.impressions
    seeds = Seeds(config.seed)
    rng = seeds.numpy("world/lists")
    users = rng.integers(config.n_users, size=logged.n_lists)
    times = truth.life_starts[users] + rng.random(logged.n_lists) * config.user_life
    order = np.argsort(times, kind="stable")
    users, times = users[order], times[order]

    items, affinities = _candidates(truth, users, times, rng)
    periods = truth.periods(times)[:, None]
    scores = logged.relevance_weight * affinities + logged.popularity_weight * truth.log_popularity[periods, items]
    order = np.argsort(-(scores + rng.standard_normal(scores.shape)), axis=1)
    items, affinities = np.take_along_axis(items, order, axis=1), np.take_along_axis(affinities, order, axis=1)

    log_popularity = truth.log_popularity[periods, items]
    popularity = np.exp(log_popularity - truth.log_popularity.max(axis=1)[periods])
    labels = np.searchsorted(LABEL_THRESHOLDS, affinities, side="right")
    propensities = observation(logged, np.arange(1, logged.list_length + 1), popularity).astype(np.float32)
    rng = seeds.numpy("world/clicks")
    clicks = rng.random(items.shape) < propensities * attractions(logged, labels)
    return Lists(
        list_of=np.repeat(np.arange(logged.n_lists), logged.list_length),
        items=items.reshape(-1),
        n_items=config.n_items,
        features=_row_features(logged, affinities, log_popularity, seeds).astype(np.float32),
        positions=np.tile(np.arange(1, logged.list_length + 1), logged.n_lists),
        clicks=clicks.reshape(-1),
        labels=labels.reshape(-1),
        users=users,
        n_users=config.n_users,
        timestamps=truth.seconds(times),
        propensities=propensities.reshape(-1),
    )


def observation(config: ImpressionConfig, positions: IntArray, popularity: DoubleArray) -> DoubleArray:
    """Return the probability that a row is observed.

    Args:
        config: Its exponents and floor.
        positions: Rank in the list, 1 = top; broadcast against `popularity`.
        popularity: Relative to the most popular item, in (0, 1].
    """
    floor = config.popularity_floor
    position_bias = positions.astype(np.float64) ** -config.position_exponent
    return position_bias * (floor + (1 - floor) * popularity**config.popularity_exponent)


def attractions(config: ImpressionConfig, labels: IntArray) -> DoubleArray:
    """Return the probability that an observed row of a label is clicked: noise + (1 - noise) (2^label - 1) / 15."""
    gains = (np.exp2(labels) - 1) / (2.0 ** len(LABEL_THRESHOLDS) - 1)
    return config.click_noise + (1 - config.click_noise) * gains


def _candidates(
    truth: WorldTruth, users: IntArray, times: DoubleArray, rng: np.random.Generator
) -> tuple[IntArray, DoubleArray]:
    """Return the candidates of each list, in no meaningful order, and their affinities, ``[n_lists, list_length]``."""
    logged = truth.config.impressions
    block = max(1, BLOCK_CELLS // truth.config.n_items)
    drawn, liked = [], []
    for start in range(0, len(users), block):
        rows = slice(start, start + block)
        affinities = truth.affinities(users[rows], times[rows])
        log_popularity = truth.log_popularity[truth.periods(times[rows])]
        odds = np.exp(logged.candidate_relevance * affinities + logged.candidate_popularity * log_popularity)
        items = weighted_order(odds, logged.list_length, rng)
        drawn.append(items)
        liked.append(np.take_along_axis(affinities, items, axis=1))
    return np.concatenate(drawn), np.concatenate(liked)


def _row_features(
    config: ImpressionConfig, affinities: DoubleArray, log_popularity: DoubleArray, seeds: Seeds
) -> DoubleArray:
    """Return ``sqrt(signal) * [affinity, log popularity] @ loadings.T + sqrt(1 - signal) * noise``, ``[N, f]``."""
    rng = seeds.numpy("world/row-features")
    causes = np.stack([affinities.reshape(-1), log_popularity.reshape(-1)], axis=1)
    causes = (causes - causes.mean(axis=0)) / np.maximum(causes.std(axis=0), 1e-12)
    angles = rng.random(config.n_features) * (np.pi / 2)
    loadings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    noise = rng.standard_normal((len(causes), config.n_features))
    signal = config.feature_signal
    features: DoubleArray = signal**0.5 * products(causes, loadings) + (1 - signal) ** 0.5 * noise
    return features
