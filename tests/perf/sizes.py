"""How often each test calls models different that are the same: the measured size at 5 %.

Usage: python -m tests.perf.sizes [TRIALS] [SEEDS ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmrec_bench.statistics.bootstrap import two_level_bootstrap
from mmrec_bench.statistics.contrast import contrast
from mmrec_bench.statistics.equivalence import equivalence
from mmrec_bench.statistics.paired import randomisation, t_test, wilcoxon
from mmrec_bench.types import DoubleArray

ALPHA = 0.05
N_USERS = 200
N_DRAWS = 399


@dataclass(frozen=True, slots=True)
class Scene:
    """What moves the scores of two models that are the same.

    Attributes:
        seeds: Standard deviation of the mean score of a run, of the first and of the second model.
        residual: Of what a seed does to a single user.
        users: Of what the models do to single users, whatever the seed.
        draw: Distribution of `users` around zero.
        n_users: Number of users.
    """

    seeds: tuple[float, float] = (0.0, 0.0)
    residual: float = 0.1
    users: float = 0.2
    draw: str = "normal"
    n_users: int = N_USERS

    def groups(self, n_seeds: int, rng: np.random.Generator) -> tuple[DoubleArray, DoubleArray]:
        """Return scores of both models, float64 ``[n_seeds, n_users]``, of true mean 1."""
        of_users = self.users * DRAWS[self.draw](rng, self.n_users)
        made = []
        for mean, seeds in zip((1 + of_users, np.ones(self.n_users)), self.seeds, strict=True):
            shape = n_seeds, self.n_users
            moved = seeds * rng.standard_normal((n_seeds, 1)) + self.residual * rng.standard_normal(shape)
            made.append(mean + moved)
        return made[0], made[1]


def _sparse(rng: np.random.Generator, n: int) -> DoubleArray:
    """Nine users of ten do not differ."""
    return rng.standard_normal(n) * (rng.random(n) < 0.1) / np.sqrt(0.1)


DRAWS: dict[str, Callable[[np.random.Generator, int], DoubleArray]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "sparse": _sparse,
    "skew": lambda rng, n: rng.exponential(size=n) - 1,
}

SCENES = {
    "nothing but users": Scene(residual=0.0),
    "users, few of whom differ": Scene(draw="sparse", residual=0.0),
    "users, differences skew": Scene(draw="skew", residual=0.0),
    "users, and what seeds do to each": Scene(),
    "seeds move the mean a little": Scene(seeds=(0.01, 0.01)),
    "seeds move the mean": Scene(seeds=(0.03, 0.03)),
    "seeds of one model move its mean": Scene(seeds=(0.04, 0.0)),
    "30 users, differences skew": Scene(draw="skew", residual=0.0, n_users=30),
    "30 users, skew, seeds move the mean": Scene(seeds=(0.03, 0.03), draw="skew", n_users=30),
}


def rejections(scene: Scene, n_seeds: int, rng: np.random.Generator) -> dict[str, bool]:
    """Return which tests call the models different."""
    first, second = scene.groups(n_seeds, rng)
    found, drawn = contrast(first, second), two_level_bootstrap(first, second, rng, N_DRAWS)
    assert found.low is not None
    assert found.high is not None
    assert drawn is not None
    return {
        "contrast": not found.low <= 0 <= found.high,
        "bootstrap": drawn.p_value < ALPHA,
        "randomisation": randomisation(first, second, rng, N_DRAWS) <= ALPHA,
        "t": t_test(first, second) < ALPHA,
        "Wilcoxon": wilcoxon(first, second) < ALPHA,
    }


def falsely_as_good(scene: Scene, n_seeds: int, rng: np.random.Generator, margin: float = 0.2) -> dict[str, bool]:
    """Return which claims within a margin are made of a model that is worse by the margin exactly."""
    first, second = scene.groups(n_seeds, rng)
    found = equivalence(first - margin, second, margin)
    assert found.not_worse is not None
    assert found.equivalent is not None
    return {"not worse": found.not_worse < ALPHA, "equivalent": found.equivalent < ALPHA}


def sizes(scene: Scene, n_seeds: int, trials: int) -> dict[str, float]:
    """Return the share of trials in which each test is wrong."""
    rng = np.random.default_rng(n_seeds)
    made = [rejections(scene, n_seeds, rng) | falsely_as_good(scene, n_seeds, rng) for _ in range(trials)]
    return {name: float(np.mean([one[name] for one in made])) for name in made[0]}


def print_sizes(trials: int, numbers: tuple[int, ...]) -> None:
    """Print the table."""
    error = 100 * (ALPHA * (1 - ALPHA) / trials) ** 0.5
    print(f"{trials} trials, {N_USERS} users where no other number stands; standard error {error:.1f} points at 5 %\n")
    for number, n_seeds in enumerate(numbers):
        for name, scene in SCENES.items():
            found = sizes(scene, n_seeds, trials)
            if number == 0 and name == next(iter(SCENES)):
                print("| seeds a side | what moves the scores | " + " | ".join(found) + " |")
                print("| --: | :-- |" + " --: |" * len(found))
            print(f"| {n_seeds} | {name} | " + " | ".join(f"{100 * size:.1f} %" for size in found.values()) + " |")
            sys.stdout.flush()


if __name__ == "__main__":
    told = [int(text) for text in sys.argv[1:]] or [2000, 5]
    print_sizes(told[0], tuple(told[1:]) or (5,))
