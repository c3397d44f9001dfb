"""How often intervals of LIS leave out a true zero: 5 % of the times, if they are what they say.

Usage: python -m tests.perf.lis_sizes [TRIALS] [SEEDS ...]
"""

from __future__ import annotations

import sys

import numpy as np

from mmrec_bench.evaluation.leakage import Impact


def gain_of_zero(
    n_seeds: int, of_seeds: float, rng: np.random.Generator, n_users: int = 200, n_draws: int = 400
) -> Impact:
    """Return a gain whose truth is zero: users gain or lose, whatever the seed, and each seed moves all of them."""
    gains = 0.1 * rng.standard_normal(n_users) + 0.05 * rng.standard_normal((n_seeds, n_users))
    gains += of_seeds * rng.standard_normal((n_seeds, 1))
    draws = rng.multinomial(n_users, np.full(n_users, 1 / n_users), size=n_draws)
    return Impact(tuple(gains.mean(axis=1)), None, gains @ draws.T / n_users)


def left_out(n_trials: int, n_seeds: int, of_seeds: float, seed: int = 0) -> float:
    """Return the share of repetitions whose interval does not hold zero."""
    rng = np.random.default_rng(seed)
    intervals = (gain_of_zero(n_seeds, of_seeds, rng).interval for _ in range(n_trials))
    return float(np.mean([low > 0 or high < 0 for low, high in intervals]))


def main(n_trials: int, seeds: list[int]) -> None:
    """Print the table."""
    print("| seeds | their spread | left out |\n| --: | --: | --: |")
    for n_seeds in seeds:
        for of_seeds in (0.0, 0.003, 0.01, 0.03):
            print(f"| {n_seeds} | {of_seeds:g} | {left_out(n_trials, n_seeds, of_seeds):.1%} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, [int(each) for each in sys.argv[2:]] or [3, 5])
