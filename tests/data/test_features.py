"""Feature tables make absence explicit: an absent row can never be mistaken for a vector."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import DataError

VALUES = np.array([[1, 2], [0, 0], [5, 6]], np.float32)
PRESENT = np.array([True, False, True])


def test_absent_rows_hold_nan_whatever_was_given() -> None:
    table = FeatureTable("image", VALUES, PRESENT, "made")
    assert np.isnan(table.values[1]).all()
    assert table.values[[0, 2]].tolist() == [[1, 2], [5, 6]]
    assert VALUES[1].tolist() == [0, 0], "the caller's array must stay as it was"
    assert (table.n_items, table.dim, table.n_missing) == (3, 2, 1)
    assert table.filled(7).tolist() == [[1, 2], [7, 7], [5, 6]]


def test_arrays_are_read_only() -> None:
    table = FeatureTable("image", VALUES, PRESENT, "made")
    for array in (table.values, table.present):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("values", "present", "message"),
    [
        (VALUES, PRESENT[:2], "present must have the shape 3; got 2"),
        (VALUES[0], PRESENT, "shape any x any"),
        (VALUES[:, :0], PRESENT, "have no column"),
        (np.where(VALUES == 5, np.inf, VALUES), PRESENT, "1 present rows are not finite, first 2"),
        (np.where(VALUES == 2, np.nan, VALUES), PRESENT, "1 present rows are not finite, first 0"),
        (VALUES.astype(object), PRESENT, "must be float32; got object"),
        (VALUES, PRESENT.astype(int), "must be bool"),
    ],
)
def test_broken_input_is_refused(values: np.ndarray, present: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FeatureTable("image", values, present, "made")


def test_the_fingerprint_sees_values_presence_and_name_but_not_what_absent_rows_held() -> None:
    table = FeatureTable("image", VALUES, PRESENT, "made")
    other_absent = VALUES.copy()
    other_absent[1] = 9
    assert FeatureTable("image", other_absent, PRESENT, "elsewhere").fingerprint() == table.fingerprint()
    changed = VALUES.copy()
    changed[0, 0] = 3
    others = [
        FeatureTable("text", VALUES, PRESENT, "made"),
        FeatureTable("image", changed, PRESENT, "made"),
        FeatureTable("image", VALUES, np.ones(3, bool), "made"),
    ]
    assert len({table.fingerprint(), *(other.fingerprint() for other in others)}) == 4
