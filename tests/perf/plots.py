"""How long the plots of a report take: 12 rows of five seeds, 20,000 users and 100 epochs each.

Run: ``python -m tests.perf.plots``; prints seconds of the processor.
"""

from __future__ import annotations

import sys
import time

from mmrec_bench.reports.plots import plots_of
from tests.reports.plots.made_up import KEY, row


def main() -> None:
    """Draw all plots of a table, and turn them into PNG."""
    rows = [row(f"model-{place}", 0.3 - 0.01 * place, 5, n_users=20_000, n_epochs=100) for place in range(12)]
    plots_of(KEY, rows[:3])  # what draws is loaded once
    begin = time.process_time()
    plots = plots_of(KEY, rows)
    drawn = time.process_time()
    for plot in plots:
        plot.png()
    size = sum(len(plot.svg) for plot in plots) / 1024
    told = f"{len(plots)} plots: SVG {drawn - begin:.1f} s, {size:.0f} KiB; PNG {time.process_time() - drawn:.1f} s\n"
    sys.stdout.write(told)


if __name__ == "__main__":
    main()
