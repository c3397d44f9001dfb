"""One comparison of two groups of runs: all numbers, and the verdict that they carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mmrec_bench.statistics.bootstrap import Bootstrap, two_level_bootstrap
from mmrec_bench.statistics.contrast import LEVEL, Contrast, contrast, p_value
from mmrec_bench.statistics.effects import Effect, effect
from mmrec_bench.statistics.equivalence import Equivalence, equivalence
from mmrec_bench.statistics.paired import randomisation, t_test, wilcoxon
from mmrec_bench.statistics.power import Components, components
from mmrec_bench.statistics.scores import check
from mmrec_bench.types import DoubleArray

CLAIM_SEEDS = 5
"""Seeds a side without which nothing is claimed."""

ALPHA = 1 - LEVEL
"""Level of all tests."""

Verdict: TypeAlias = Literal[
    "better", "better, within margin", "worse", "worse, within margin", "equivalent", "not worse", "unclear",
    "needs more seeds",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of a first group against a second. More is better.

    Attributes:
        n_seeds: Seeds of the first and of the second group.
        n_users: Users, the same for both.
        means: Mean score of each group.
        interval: Difference of the means and its interval, over users and seeds.
        p_value: That belongs to the interval; None where a group has one seed or there is one user.
        effect: Sizes of the difference.
        bootstrap: The two-level bootstrap, over users and seeds, beside it.
        users_randomisation: P value of a paired test over users, for these very seeds.
        users_t: The same of Student's t.
        users_wilcoxon: The same of Wilcoxon's signed ranks.
        equivalence: P values of claims within a margin, where one was given.
        components: Variances, from which the power follows.
    """

    n_seeds: tuple[int, int]
    n_users: int
    means: tuple[float, float]
    interval: Contrast
    p_value: float | None
    effect: Effect
    bootstrap: Bootstrap | None
    users_randomisation: float
    users_t: float
    users_wilcoxon: float
    equivalence: Equivalence | None
    components: Components | None

    @property
    def detectable(self) -> float | None:
        """Smallest difference found with a power of 80 %, by as many seeds as the smaller group has."""
        return None if self.components is None else self.components.detectable(min(self.n_seeds), ALPHA)

    def seeds_needed(self, gain: float) -> int | None:
        """Return the seeds a side that find a gain, a share of the second mean; None where no number does."""
        wanted = gain * abs(self.means[1])
        return None if self.components is None or not wanted else self.components.seeds_needed(wanted, ALPHA)


def compare(
    first: DoubleArray,
    second: DoubleArray,
    rng: np.random.Generator,
    margin: float | None = None,
    of_users: tuple[DoubleArray, DoubleArray] | None = None,
) -> Comparison:
    """Compare two groups of runs.

    Args:
        first: float64 ``[n_seeds, n_users]``; more is better.
        second: float64 ``[m_seeds, n_users]``, the same users in the same order.
        rng: Where the draws of bootstrap and randomisation come from.
        margin: Share of the second mean within which groups count as equivalent; None asks for no such claim.
        of_users: Scores of single users of both groups, in the same shapes, where `first` and `second` are what users
            add to a ratio: a mean over lists, of which users have more or fewer. Effects and signed ranks are of them.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`, or the margin is out of range.
    """
    check(first, second)
    users = (first, second) if of_users is None else of_users
    return Comparison(
        n_seeds=(len(first), len(second)),
        n_users=first.shape[1],
        means=(float(first.mean()), float(second.mean())),
        interval=contrast(first, second),
        p_value=p_value(first, second),
        effect=effect(*users),
        bootstrap=two_level_bootstrap(first, second, rng),
        users_randomisation=randomisation(first, second, rng),
        users_t=t_test(first, second),
        users_wilcoxon=wilcoxon(*users),
        equivalence=None if margin is None else equivalence(first, second, margin),
        components=components(first, second),
    )


def verdict(found: Comparison, p: float | None, not_worse: float | None, equivalent: float | None) -> Verdict:
    """Return what may be claimed.

    Args:
        found: The comparison.
        p: Its p value, adjusted for the others that are made.
        not_worse: P value of "not worse", adjusted; None where no margin was given.
        equivalent: P value of "equivalent", adjusted; None where no margin was given.
    """
    if min(found.n_seeds) < CLAIM_SEEDS or p is None:
        return "needs more seeds"
    within = equivalent is not None and equivalent < ALPHA
    if p < ALPHA and found.interval.difference > 0:
        return "better, within margin" if within else "better"
    if p < ALPHA:
        return "worse, within margin" if within else "worse"
    if within:
        return "equivalent"
    return "not worse" if not_worse is not None and not_worse < ALPHA else "unclear"
