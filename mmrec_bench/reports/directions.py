"""Which values of a metric are better."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS
from mmrec_bench.metrics.sessions import SESSION_METRICS

FALLING = (
    *(name for name in PROBABILITY_METRICS if PROBABILITY_METRICS[name].direction == "lower"),
    *(name for name, metric in SESSION_METRICS.items() if not metric.higher_is_better),
)
"""Metrics of which less is better."""

UNDIRECTED = tuple(name for name in PROBABILITY_METRICS if PROBABILITY_METRICS[name].direction == "one")
"""Metrics whose best value, 1, lies between others; a difference of means says nothing of better."""


def lower_is_better(names: Sequence[str]) -> list[str]:
    """Return those metrics of which less is better, without ``@K``, each once."""
    return _among(names, FALLING)


def has_direction(name: str) -> bool:
    """Return whether more of a metric, or less of it, is better."""
    return not _among([name], UNDIRECTED)


def direction_notes(names: Sequence[str]) -> str:
    """Return one sentence each on metrics of which more is not better; each begins with a blank."""
    told = {"Lower is better": _among(names, FALLING), "Nearest to 1 is best": _among(names, UNDIRECTED)}
    return "".join(f" {words}: {', '.join(found)}." for words, found in told.items() if found)


def _among(names: Sequence[str], some: Sequence[str]) -> list[str]:
    stems = dict.fromkeys(name.partition("@")[0] for name in names)
    return [stem for stem in stems if stem in some]
