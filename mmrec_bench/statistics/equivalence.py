"""Whether a model is not worse than another, or as good as it, within a margin."""

from __future__ import annotations

from dataclasses import dataclass

from mmrec_bench.errors import DataError
from mmrec_bench.statistics.contrast import p_value
from mmrec_bench.statistics.scores import check
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class Equivalence:
    """P values of claims within a margin; None where a group has one seed or there is one user.

    Attributes:
        not_worse: Of "the first group falls behind the second by less than the margin" (non-inferiority).
        equivalent: Of "the groups differ by less than the margin", two one-sided tests (TOST).
    """

    not_worse: float | None
    equivalent: float | None


def equivalence(first: DoubleArray, second: DoubleArray, margin: float) -> Equivalence:
    """Test a difference against a margin relative to the mean of the second group.

    The margin hangs on a mean that is itself estimated. It is therefore no number in the test: the first group is
    compared with the second times ``1 - margin`` and times ``1 + margin``, one-sided, by `contrast.p_value` (two
    one-sided tests, Schuirmann, https://doi.org/10.1007/BF01068419).

    Args:
        first: float64 ``[n_seeds, n_users]``; more is better.
        second: float64 ``[m_seeds, n_users]``. Where its mean is negative, the margin is a share of its size.
        margin: Share of the second group's mean, above 0 and below 1, such as 0.01.

    Raises:
        DataError: The margin is out of range, or the groups cannot be compared, see `scores.check`.
    """
    check(first, second)
    if not 0 < margin < 1:
        raise DataError(f"a margin is a share of a mean, above 0 and below 1; got {margin}")
    slack = margin if second.mean() >= 0 else -margin
    not_worse = p_value(first, (1 - slack) * second, "greater")
    not_better = p_value((1 + slack) * second, first, "greater")
    both = None if not_worse is None or not_better is None else max(not_worse, not_better)
    return Equivalence(not_worse, both)
