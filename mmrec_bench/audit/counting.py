"""Do columns of features count what is held out?

Among items with equally many training rows, how many rows are held out is mostly chance, and nothing that was known
before can follow it closely. A column that was counted on all rows (number of ratings, sales rank, popularity) does.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from mmrec_bench.audit.base import Finding, check
from mmrec_bench.audit.subject import Subject
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.types import DoubleArray, IntArray

WARNS, FAILS = 0.6, 0.8
"""Size of the correlation from which on the check warns, or fails."""
FEWEST = 50
"""Items below which nothing can be said."""
N_COLUMNS = 64
"""Columns a table has at most: counts come alone or beside a few others, and vectors of encoders are wide."""


@check("counts-of-held-out", "Do columns of features follow the number of held-out rows?", kinds=("interactions",))
def counts_of_held_out(subject: Subject) -> Finding:
    """Correlate the ranks of columns with those of held-out counts, among items with equally many training rows."""
    tables = {name: table for name, table in subject.dataset.features.items() if table.dim <= N_COLUMNS}
    if not tables:
        return Finding("not applicable", f"there are no feature tables of at most {N_COLUMNS} columns")
    train = subject.train.item_counts()
    held_out = sum(part.item_counts() for part in subject.held_out)
    found = {name: _correlations(table, train, held_out) for name, table in sorted(tables.items())}
    largest = {name: float(values.max()) for name, values in found.items() if len(values)}
    counts = {f"{name}/correlation": value for name, value in largest.items()}
    if not largest:
        return Finding("not applicable", f"fewer than {FEWEST} items have a vector and the train count of another")
    worst = max(largest, key=lambda name: largest[name])
    if largest[worst] <= WARNS:
        return Finding("pass", "no column follows the number of held-out rows", counts)
    column = int(found[worst].argmax())
    message = (
        f"column {column} (from 0) of {worst} has a correlation of {largest[worst]:.2f} with the number of held-out "
        "rows among items with equally many training rows: it was counted on rows that are held out"
    )
    return Finding("fail" if largest[worst] > FAILS else "warn", message, counts)


def _correlations(table: FeatureTable, train: IntArray, held_out: IntArray) -> DoubleArray:
    """Return the size of the correlation of each column, float64 ``[d]``; empty where too few items can be compared."""
    items = np.flatnonzero(table.present & (train + held_out > 0))
    _, group, sizes = np.unique(train[items], return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    compared = sizes[group] > 1
    items, group = items[compared], group[compared]
    if len(items) < FEWEST:
        return np.zeros(0)
    wanted = _within(rankdata(held_out[items])[:, None], group)
    columns = _within(rankdata(table.values[items], axis=0), group)
    scale = np.sqrt((columns**2).sum(axis=0) * (wanted**2).sum())
    correlations: DoubleArray = np.abs(columns.T @ wanted)[:, 0] / np.where(scale > 0, scale, 1.0)
    return correlations


def _within(values: DoubleArray, group: IntArray) -> DoubleArray:
    """Return values ``[n, d]`` less the mean of their group."""
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    centred: DoubleArray = values - (sums / np.maximum(np.bincount(group), 1)[:, None])[group]
    return centred
