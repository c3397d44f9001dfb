"""All plots of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.plots.base import Plot, stem_of, subtitle_of
from mmrec_bench.reports.plots.learning import learning_plots
from mmrec_bench.reports.plots.pareto import COSTS, pareto_plot
from mmrec_bench.reports.plots.ranks import ranks_plot
from mmrec_bench.reports.plots.slices import slices_plot
from mmrec_bench.reports.plots.users import differences_plot
from mmrec_bench.reports.user_scores import UserScores
from mmrec_bench.statistics.ranks import critical_difference


def plots_of(key: TableKey, rows: Sequence[Row]) -> list[Plot]:
    """Return the plots of one data set and protocol; those of which the runs hold too little are left out.

    Args:
        key: The table.
        rows: Its rows, best mean validation score first.

    Raises:
        ArtefactError: Runs were tested on different users, or lack the scores of single users.
    """
    scores = UserScores({row.fingerprint: row for row in rows}).both(key.select_by)
    parts = {name: found.parts for name, found in scores.items()}
    means = {name: found.means for name, found in scores.items()}
    made = [
        *(pareto_plot(key, rows, cost, parts) for cost in COSTS),
        *learning_plots(key, rows),
        slices_plot(key, rows),
        differences_plot(key, rows, means),
    ]
    n_users = means[rows[0].fingerprint].shape[1]
    if len(rows) > 2 and n_users > 1 and key.task != "ctr":  # parts of a metric rank nobody
        ranks = critical_difference(np.stack([means[row.fingerprint].mean(axis=0) for row in rows], axis=1))
        name, labels = f"{stem_of(key)}-ranks", [row.label for row in rows]
        what = f"test {key.select_by} of {n_users:,} users"
        made.append(ranks_plot(name, key.heading, labels, ranks, what, subtitle_of(key)))
    return [plot for plot in made if plot is not None]
