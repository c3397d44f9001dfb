"""Statistics of comparisons: pure functions of scores ``[n_seeds, n_users]``; see docs/statistics.md."""
