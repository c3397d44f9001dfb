from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.arrays import checked
from mmrec_bench.errors import DataError


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        (np.array([0, 256]), np.int8, "x must be int8, from -128 to 127; got 256"),
        (np.array([0, -129]), np.int8, "x must be int8, .* got -129"),
        (np.array([2**63], np.uint64), np.int64, f"x must be int64, .* got {2**63}"),
        (np.array([0.5]), np.int64, "x must be int64; got float64"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(given: np.ndarray, wanted: type, message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked("x", given, wanted, (None,))


@pytest.mark.parametrize("given", [np.array([-128, 127]), np.zeros(0, np.int64), np.array([True, False])])
def test_a_number_that_fits_is_kept(given: np.ndarray) -> None:
    found = checked("x", given, np.int8, (None,))
    assert found.dtype == np.int8
    assert found.tolist() == given.tolist()
