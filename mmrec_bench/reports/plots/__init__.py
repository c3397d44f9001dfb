"""Pictures of runs and studies, as SVG and PNG."""

from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.plots.of_rows import plots_of
from mmrec_bench.reports.plots.tuning import tuning_plots

__all__ = ["Plot", "plots_of", "tuning_plots"]
