"""Versions of evaluator and metrics: numbers of different versions stand on no board together."""

from __future__ import annotations

from collections.abc import Mapping

from mmrec_bench.evaluation import ctr_protocol, interactive_protocol, protocol, ranking_protocol
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS
from mmrec_bench.metrics.graded import GRADED_METRICS
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS
from mmrec_bench.metrics.ranking import METRICS
from mmrec_bench.metrics.sessions import SESSION_METRICS

EVALUATOR = "evaluator"
"""Name under which the version of the evaluator of the task stands among those of metrics."""


def metric_versions(track: Track) -> dict[str, int]:
    """Return the versions of the evaluator, of the metrics that a protocol asks for, and of those of the catalogue."""
    names = tuple(dict.fromkeys(name.partition("@")[0] for name in track.metric_ids))
    rules = track.protocol
    if isinstance(rules, ranking_protocol.RankingProtocol):
        found = {name: GRADED_METRICS[name].version for name in rules.metrics}
        simulated = {name: config.metric(name).version for name, config in rules.simulated.items()}
        return {EVALUATOR: ranking_protocol.EVALUATOR_VERSION, **found, **simulated}
    if track.task == "ctr":
        found = {name: PROBABILITY_METRICS[name].version for name in names}
        return {EVALUATOR: ctr_protocol.EVALUATOR_VERSION, **found}
    if track.task == "interactive":
        found = {name: SESSION_METRICS[name].version for name in names}
        return {EVALUATOR: interactive_protocol.EVALUATOR_VERSION, **found}
    found = {name: METRICS[name].version for name in names}
    catalogue = {name: CATALOGUE_METRICS[name].version for name in CATALOGUE_METRICS}
    return {EVALUATOR: protocol.EVALUATOR_VERSION, **found, **catalogue}


def metric_names(track: Track) -> frozenset[str]:
    """Return the names of all numbers that the lists of a track give: metrics, at each cutoff if there are any."""
    names = metric_versions(track).keys() - {EVALUATOR}
    cutoffs = getattr(track.protocol, "cutoffs", None)
    return frozenset(names if cutoffs is None else (f"{name}@{cutoff}" for name in names for cutoff in cutoffs))


def changed_metrics(told: Mapping[str, int], track: Track) -> frozenset[str]:
    """Return the metrics of which numbers told with some versions mean something else today.

    Args:
        told: Versions; empty for those of today.
        track: The track.

    Returns:
        Names of metrics that are new, gone, or of another version; all where the evaluator is another one.
    """
    today = metric_versions(track)
    if not told:
        return frozenset()
    changed = {name for name in {*told, *today} if told.get(name) != today.get(name)}
    return frozenset({*told, *today} if EVALUATOR in changed else changed)
