"""A data set holds together: tables as long as the catalogue, ids that name one thing each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.arrays import checked, digest
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import DataError


def table(n_items: int) -> FeatureTable:
    return FeatureTable("image", np.ones((n_items, 2), np.float32), np.ones(n_items, bool), "made")


def dataset(**changes: Any) -> Dataset[Interactions]:
    given = {
        "name": "tiny",
        "payload": Interactions(np.array([0, 1]), np.array([0, 2]), 2, 3),
        "features": {"image": table(3)},
        "items": ItemTable(),
        "user_ids": np.array(["u0", "u1"]),
        "item_ids": np.array(["i0", "i1", "i2"]),
    }
    return Dataset(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"image": table(2)}}, r"features of 'image' need one row an item: 3; got 2 \(made\)"),
        ({"item_ids": np.array(["a", "b"])}, "one external id an item: 3; got 2"),
        ({"item_ids": np.array(["a", "b", "a"])}, "external item ids must be unique; 1 occur again"),
        ({"user_ids": np.array(["a", "a"])}, "external user ids must be unique; 1 occur again"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset(**changes)


def test_features_cannot_be_exchanged() -> None:
    with pytest.raises(TypeError):
        dataset().features["image"] = table(3)  # type: ignore[index]


def test_features_have_fingerprints_of_their_own() -> None:
    whole, bare = dataset(), dataset(features={})
    assert whole.fingerprint() == bare.fingerprint()
    assert whole.feature_fingerprints() == {"image": table(3).fingerprint()}
    assert dataset(item_ids=np.array(["i0", "i1", "x"])).fingerprint() != whole.fingerprint()
    assert dataset(items=ItemTable(titles=np.array(["", "", "t"]))).fingerprint() != whole.fingerprint()


def test_digests_tell_dtype_shape_and_border_apart() -> None:
    zeros = np.zeros(4, np.int64)
    parts = [
        (zeros,),
        (zeros.astype(np.int32),),
        (zeros.reshape(2, 2),),
        (zeros[:2], zeros[2:]),
        (None, zeros),
        ("ab", "c"),
        ("a", "bc"),
        (np.array(["ab", "c"]),),
        (np.array(["a", "bc"]),),
    ]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(zeros) == digest(zeros.astype(">i8")), "bytes are in one order on every machine"
    assert digest(np.array(["a"])) == digest(np.array(["a"], "<U9")), "the width of text is no content"


def test_arrays_are_converted_only_without_loss() -> None:
    assert checked("x", np.array([1, 2], np.int32), np.int64, (2,)).dtype == np.int64
    for array in (np.array([1.0]), np.array(["1"]), np.array([1], object)):
        with pytest.raises(DataError, match="x must be int64"):
            checked("x", array, np.int64, (None,))
    with pytest.raises(DataError, match="x must have the shape any x 3; got a scalar"):
        checked("x", np.int64(1), np.int64, (None, 3))  # type: ignore[arg-type]
