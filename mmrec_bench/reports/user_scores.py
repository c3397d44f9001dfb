"""Test scores of single users, of which intervals are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.collect import Row
from mmrec_bench.types import BoolArray, DoubleArray, IntArray


def user_scores(rows: Mapping[str, Row], metric: str) -> dict[str, DoubleArray]:
    """Return the test scores of each row, float64 ``[n_seeds, n_users]``, users in one order; see `UserScores`."""
    return UserScores(rows).of(metric)


@dataclass(frozen=True, slots=True)
class RowScores:
    """Test scores of the users of one row; the same thing twice where each user has one list.

    Attributes:
        parts: What each user adds to the mean over all lists, see `linearised`, float64 ``[n_seeds, n_users]``: for
            means and their intervals.
        means: Mean over the lists of the user alone, float64 ``[n_seeds, n_users]``: for what is said of single users.
    """

    parts: DoubleArray
    means: DoubleArray


@dataclass(frozen=True, slots=True)
class _Lists:
    """Which rows of ``per_user.parquet`` are test lists, and whose.

    Attributes:
        test: Which rows, bool ``[n_rows]``.
        ids: Id of the user of each test list ``[n_lists]``.
        users: User of each test list, as a place in `names`, int64 ``[n_lists]``.
        names: Their ids, sorted, ``[n_users]``.
    """

    test: BoolArray
    ids: Any
    users: IntArray
    names: pd.Index


class UserScores:
    """Test scores of single users of rows that are compared, by metric.

    See `linearised` for users with several lists. Whose lists are whose is read once; scores are read metric by metric,
    so that those of one fit into memory.
    """

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._lists: dict[int, _Lists] = {}
        self._newest: _Lists | None = None

    def of(self, metric: str) -> dict[str, DoubleArray]:
        """Return the `parts` of each row; see `both`."""
        return {label: scores.parts for label, scores in self.both(metric).items()}

    def both(self, metric: str) -> dict[str, RowScores]:
        """Return the scores of each row, users in one order.

        Raises:
            ArtefactError: Two runs were tested on different users or lists, or a run has no scores of users in it.
        """
        scores: dict[str, RowScores] = {}
        first: tuple[pd.Index, IntArray] | None = None
        for label, row in self._rows.items():
            parts, means = [], []
            for run in row.runs:
                lists = self._lists_of(run)
                values = _column(run, metric)[lists.test]
                counted = ~np.isnan(values)
                n_lists = np.bincount(lists.users[counted], minlength=len(lists.names))
                held = n_lists > 0
                names = lists.names if held.all() else lists.names[held]
                first = first or (names, n_lists[held])
                if not (names.equals(first[0]) and np.array_equal(n_lists[held], first[1])):
                    raise ArtefactError(f"{run.folder}: was tested on other users than the runs it is compared with")
                sums = np.bincount(lists.users[counted], values[counted], minlength=len(lists.names))
                parts.append(_of_ratio(sums[held].astype(np.float64), n_lists[held].astype(np.float64)))
                means.append(sums[held] / n_lists[held])
            scores[label] = RowScores(np.stack(parts), np.stack(means))
        return scores

    def holds(self, metric: str) -> bool:
        """Whether there are scores of single users in a metric; rows of one protocol have the same metrics."""
        return all(metric in row.runs[0].per_user([metric]) for row in self._rows.values())

    def _lists_of(self, run: RunArtefact) -> _Lists:
        if id(run) not in self._lists:
            table = run.per_user(["part", "user_id"])
            test = (table["part"] == "test").to_numpy()
            ids = table["user_id"][test].to_numpy()
            newest = self._newest
            if newest is None or not (np.array_equal(newest.test, test) and np.array_equal(newest.ids, ids)):
                users, names = pd.factorize(ids, sort=True)
                self._newest = newest = _Lists(test, ids, users.astype(np.int64), pd.Index(names))
            self._lists[id(run)] = newest
        return self._lists[id(run)]


def _column(run: RunArtefact, metric: str) -> DoubleArray:
    table = run.per_user([metric])
    if metric not in table:
        known = ", ".join(name for name in run.metrics["test"] if name in run.per_user())
        raise ArtefactError(f"{run.folder}: has no scores of single users in '{metric}'; it has: {known}")
    return table[metric].to_numpy(np.float64)


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
    sizes: pd.Series[int] = grouped.size()
    counts = np.asarray(sizes, np.float64)
    return sizes, _of_ratio(grouped.sum().to_numpy(np.float64), counts)


def _of_ratio(sums: DoubleArray, n_lists: DoubleArray) -> DoubleArray:
    mean = sums.sum() / max(n_lists.sum(), 1)
    return mean + (sums - mean * n_lists) / n_lists.mean() if len(n_lists) else sums
