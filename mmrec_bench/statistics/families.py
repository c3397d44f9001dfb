"""Many comparisons at once: p values adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from statsmodels.stats.multitest import multipletests

from mmrec_bench.errors import DataError

Adjustment: TypeAlias = Literal["holm", "benjamini-hochberg"]
"""``holm``: of a family declared beforehand, the chance of a single false claim stays below the level. ``benjamini-
hochberg``: for exploration, the expected share of false ones among all that are found stays below it."""

METHODS: dict[Adjustment, str] = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}


def adjusted(p_values: Sequence[float | None], adjustment: Adjustment) -> list[float | None]:
    """Return adjusted p values in the same order.

    Args:
        p_values: In 0..1; None where no test could be made, which stays None. It counts as a member of the family
            with the p value 1, so that a comparison that fails does not make the others easier.
        adjustment: Holm, https://www.jstor.org/stable/4615733, or Benjamini and Hochberg,
            https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.

    Raises:
        DataError: A p value outside 0..1.
    """
    if wrong := [p for p in p_values if p is not None and not 0 <= p <= 1]:
        raise DataError(f"p values lie in 0..1; got {wrong[0]}")
    if not p_values:
        return []
    filled = np.array([1.0 if p is None else p for p in p_values])
    found = multipletests(filled, method=METHODS[adjustment])[1]
    return [None if p is None else float(value) for p, value in zip(p_values, found, strict=True)]
