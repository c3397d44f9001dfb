"""Test scores of single users, of which intervals are made."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmrec_bench.errors import ArtefactError
from mmrec_bench.reports.collect import Row
from mmrec_bench.types import DoubleArray


def user_scores(rows: Mapping[str, Row], metric: str) -> dict[str, DoubleArray]:
    """Return the test scores of each row, float64 ``[n_seeds, n_users]``, users in one order.

    See `linearised` for users with several lists.

    Raises:
        ArtefactError: Two runs were tested on different users or lists, or a run has no scores of users in the metric.
    """
    scores: dict[str, DoubleArray] = {}
    sizes: pd.Series[int] | None = None
    for label, row in rows.items():
        columns = []
        for run in row.runs:
            table = run.per_user()
            if metric not in table:
                known = ", ".join(name for name in run.metrics["test"] if name in table)
                raise ArtefactError(f"{run.folder}: has no scores of single users in '{metric}'; it has: {known}")
            n_lists, own = linearised(table[table["part"] == "test"], metric)
            sizes = n_lists if sizes is None else sizes
            if not n_lists.equals(sizes):
                raise ArtefactError(f"{run.folder}: was tested on other users than the runs it is compared with")
            columns.append(own)
        scores[label] = np.stack(columns)
    return scores


def linearised(table: pd.DataFrame, metric: str) -> tuple[pd.Series[int], DoubleArray]:
    """Return how many lists of each user count for a metric, by user id, and the score of each user in that order.

    Where users have several lists, which are no independent draws, the mean m over lists is a ratio of sums over users.
    The score of a user is then ``m + (sum of the user's lists - m * their number) * users / lists``: the mean of these
    is m, and their spread is that of the ratio (Taylor linearisation). Lists that do not count for the metric are
    left out.

    Args:
        table: Scores of the users, or lists, of one part.
        metric: One of its columns.
    """
    counted = table[table[metric].notna()]
    grouped = counted.groupby("user_id", sort=True, observed=True)[metric]
    sizes = grouped.size()
    sums, counts = grouped.sum().to_numpy(np.float64), sizes.to_numpy(np.float64)
    mean = sums.sum() / max(counts.sum(), 1)
    return sizes, mean + (sums - mean * counts) / counts.mean() if len(counts) else sums
