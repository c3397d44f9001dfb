"""Versions of the metrics of a track: numbers of different versions stand on no board together."""

from __future__ import annotations

from mmrec_bench.leaderboard.track import Track
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS
from mmrec_bench.metrics.graded import GRADED_METRICS
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS
from mmrec_bench.metrics.ranking import METRICS
from mmrec_bench.metrics.sessions import SESSION_METRICS


def metric_versions(track: Track) -> dict[str, int]:
    """Return the version of each metric that the protocol of a track asks for, and of the catalogue metrics."""
    names = tuple(dict.fromkeys(name.partition("@")[0] for name in track.metric_ids))
    if track.task == "retrieval":
        found = {name: METRICS[name].version for name in names}
        return found | {name: CATALOGUE_METRICS[name].version for name in CATALOGUE_METRICS}
    if track.task == "ranking":  # metrics that click models compute are named by the protocol, which has a version
        return {name: GRADED_METRICS[name].version for name in names if name in GRADED_METRICS}
    if track.task == "ctr":
        return {name: PROBABILITY_METRICS[name].version for name in names}
    return {name: SESSION_METRICS[name].version for name in names}
