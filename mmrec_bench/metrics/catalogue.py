"""Metrics of what a model recommends to all users together, whether or not it is relevant.

Notation: C is the catalogue (or a slice of it), f_i the number of lists whose first k places hold item i (padding is no
item), F their sum over C, c_i the number of training interactions of item i, and U the number of users with training
interactions. On a slice of items all sums run over its items alone, while lists keep all their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.base import Direction, Metric
from mmrec_bench.registry import Registry
from mmrec_bench.types import DoubleArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Popularity:
    """What training says about the items of a catalogue or slice.

    Attributes:
        counts: Training interactions c_i, int64 ``[n]``.
        n_users: Users with training interactions, U.
    """

    counts: IntArray
    n_users: int

    def __post_init__(self) -> None:
        if self.n_users < 1 or (len(self.counts) and self.counts.min() < 0):
            raise ProtocolError(f"popularity needs a training user and counts from 0 on; got {self.n_users} users")


Measure = Callable[[IntArray, Popularity], float | None]
"""From frequencies f, int64 ``[n]``, and popularity to the value, or None where it is not defined."""


@dataclass(frozen=True, slots=True)
class CatalogueMetric(Metric):
    """A metric of the frequencies with which items are recommended.

    Attributes:
        direction: Which values are meant by better; none of them measures relevance.
        unit: Unit of the value.
        measure: Computes it.
    """

    direction: Direction
    unit: str
    measure: Measure

    def __call__(self, frequencies: IntArray, popularity: Popularity) -> float | None:
        """Return the value, or None where nothing was recommended and the metric is a mean over recommendations.

        Args:
            frequencies: Lists that hold each item, int64 ``[n]``.
            popularity: Of the same items.

        Raises:
            ProtocolError: No item, or lengths that differ.
        """
        if len(frequencies) == 0 or len(frequencies) != len(popularity.counts):
            raise ProtocolError(
                f"{self.name} needs one frequency and one count an item, at least one; "
                f"got {len(frequencies)} and {len(popularity.counts)}"
            )
        return self.measure(frequencies, popularity)


def frequencies(items: IntArray, n_items: int, cutoffs: Sequence[int]) -> list[IntArray]:
    """Return how many lists hold each item within each cutoff.

    Args:
        items: Ranked lists, int64 ``[n, k_max]``, negative where padded.
        n_items: Number of items of the catalogue.
        cutoffs: Ascending values of k, at most k_max.

    Returns:
        One int64 ``[n_items]`` a cutoff.
    """
    counted, before, result = np.zeros(n_items + 1, np.int64), 0, []
    for cutoff in cutoffs:
        counted = counted + np.bincount(items[:, before:cutoff].reshape(-1) + 1, minlength=n_items + 1)
        result.append(counted[1:])  # slot 0 counts the padding
        before = cutoff
    return result


CATALOGUE_METRICS: Registry[CatalogueMetric] = Registry("catalogue metric")


def _coverage(frequencies: IntArray, popularity: Popularity) -> float:
    return float(np.mean(frequencies > 0))


def _gini(frequencies: IntArray, popularity: Popularity) -> float | None:
    total, n = int(frequencies.sum()), len(frequencies)
    if total == 0:
        return None
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(frequencies) / (n * total))


def self_information(popularity: Popularity) -> DoubleArray:
    """Return the bits that a recommendation of each item tells, float64 ``[n]``.

    An item without training interactions counts as if it had one: its information is unbounded, and this is the least
    that can be said of it, so that a single cold item does not turn the mean into infinity.
    """
    bits: DoubleArray = np.log2(popularity.n_users) - np.log2(np.maximum(popularity.counts, 1))
    return bits


def _novelty(frequencies: IntArray, popularity: Popularity) -> float | None:
    total = int(frequencies.sum())
    return float(frequencies @ self_information(popularity) / total) if total else None


def _average_popularity(frequencies: IntArray, popularity: Popularity) -> float | None:
    total = int(frequencies.sum())
    return float(frequencies @ popularity.counts / total) if total else None


for _metric in (
    CatalogueMetric(
        "coverage", 1, "Coverage", r"|\{i \in C : f_i > 0\}| / |C|", "items of the catalogue", "higher", "share",
        _coverage,
    ),
    CatalogueMetric(
        "gini", 1, "Gini index", r"\sum_{j=1}^{|C|} (2j - |C| - 1) f_{(j)} \Big/ (|C| F),\ f_{(1)} \le f_{(2)} \le ...",
        "items of the catalogue times recommendations; 0 is even, near 1 all go to one item", "lower", "index", _gini,
    ),
    CatalogueMetric(
        "novelty", 1, "Novelty", r"\frac{1}{F} \sum_i f_i \log_2 \frac{U}{\max(c_i, 1)}",
        "recommendations; self-information of Zhou et al. (2010, https://arxiv.org/abs/0808.2670)", "higher", "bit",
        _novelty,
    ),
    CatalogueMetric(
        "average-popularity", 1, "Average popularity", r"\frac{1}{F} \sum_i f_i c_i",
        "recommendations; Yin et al. (2012, https://arxiv.org/abs/1205.6700)", "lower", "training interactions",
        _average_popularity,
    ),
):  # fmt: skip
    CATALOGUE_METRICS.register(_metric.name, _metric)
