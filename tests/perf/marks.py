"""How often a row that is best in truth loses its mark: rows that are all the same, drawn again and again.

Usage: python -m tests.perf.marks [REPETITIONS]
"""

from __future__ import annotations

import sys

import numpy as np

from mmrec_bench.reports.standing import standing_of
from mmrec_bench.types import DoubleArray

N_USERS = 400
CASES = (
    (3, 5, 0.05), (8, 1, 0.0), (8, 1, 0.05), (8, 2, 0.0), (8, 2, 0.05), (8, 3, 0.05), (8, 5, 0.0), (8, 5, 0.05),
    (20, 5, 0.05),
)  # fmt: skip
"""Rows, seeds, and standard deviation of what a seed does to the mean of a row; a user's score has 0.5."""


def rows_of(n_rows: int, n_seeds: int, moved: float, repetition: int) -> dict[str, DoubleArray]:
    """Return scores of rows that are the same in truth, float64 ``[n_seeds, N_USERS]`` each."""
    rng = np.random.default_rng([repetition, n_rows, n_seeds])
    users = rng.random(N_USERS)
    return {
        f"row-{row}": users + moved * rng.standard_normal((n_seeds, 1)) + 0.5 * rng.standard_normal((n_seeds, N_USERS))
        for row in range(n_rows)
    }


def print_marks(repetitions: int = 2000) -> None:
    """Print the share of repetitions in which a given row is not among the best."""
    print("| rows | seeds | seeds move the mean by | a row loses its mark |\n| --: | --: | --: | --: |")
    for n_rows, n_seeds, moved in CASES:
        drawn = (rows_of(n_rows, n_seeds, moved, repetition) for repetition in range(repetitions))
        lost = np.mean(["row-0" not in standing_of("metric", scores, {}).best for scores in drawn])
        print(f"| {n_rows} | {n_seeds} | {moved:g} | {lost:.1%} |")


if __name__ == "__main__":
    print_marks(*map(int, sys.argv[1:]))
