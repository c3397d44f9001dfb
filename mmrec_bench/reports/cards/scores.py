"""Intervals of all metrics of a row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mmrec_bench.reports.user_scores import linearised
from mmrec_bench.statistics.contrast import contrast, over_users
from mmrec_bench.types import DoubleArray

Interval = tuple[float, float]


def intervals(tables: Sequence[pd.DataFrame], part: str, metrics: Sequence[str]) -> dict[str, Interval]:
    """Return the interval of each metric that has scores of users: over users, and over seeds where there are two.

    Args:
        tables: Scores of users of each seed, as runs keep them.
        part: ``valid`` or ``test``.
        metrics: Names of metrics; those without scores of users are left out.
    """
    found: dict[str, Interval] = {}
    for metric, scores in _scores(tables, part, metrics).items():
        if len(scores) == 1:
            ends = over_users(scores[0])
        else:
            told = contrast(scores, np.zeros_like(scores[:2]))  # a group that is zero everywhere has no spread
            ends = None if told.low is None or told.high is None else (told.low, told.high)
        if ends is not None:
            found[metric] = ends
    return found


def _scores(tables: Sequence[pd.DataFrame], part: str, metrics: Sequence[str]) -> Mapping[str, DoubleArray]:
    """Return float64 ``[n_seeds, n_users]`` by metric, users in one order; without metrics whose users differ."""
    parts = [table[table["part"] == part] for table in tables]
    known = [name for name in metrics if all(name in table for table in parts)]
    first = parts[0]["user_id"].to_numpy()
    same = all(np.array_equal(table["user_id"].to_numpy(), first) for table in parts)
    if same and parts[0]["user_id"].is_unique:  # one row a user: no sums over lists
        values = np.stack([table[known].to_numpy(np.float64) for table in parts])
        whole = ~np.isnan(values).any(axis=(0, 1))
        found = {name: values[:, :, place] for place, name in enumerate(known) if whole[place]}
    else:
        found = {}
    for name in known:
        if name not in found:
            columns = [linearised(table, name) for table in parts]
            if all(sizes.equals(columns[0][0]) for sizes, _ in columns) and len(columns[0][0]):
                found[name] = np.stack([scores for _, scores in columns])
    return found
