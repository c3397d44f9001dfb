"""All plots of a table."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.plots.pareto import COSTS, pareto_plot
from mmrec_bench.reports.user_scores import user_scores


def plots_of(key: TableKey, rows: Sequence[Row]) -> list[Plot]:
    """Return the plots of one data set and protocol; those of which the runs hold too little are left out.

    Args:
        key: The table.
        rows: Its rows, best mean validation score first.

    Raises:
        ArtefactError: Runs were tested on different users, or lack the scores of single users.
    """
    scores = user_scores({row.fingerprint: row for row in rows}, key.select_by)
    made = [pareto_plot(key, rows, cost, scores) for cost in COSTS]
    return [plot for plot in made if plot is not None]
