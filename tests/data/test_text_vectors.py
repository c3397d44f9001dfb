"""Vectors of titles and words."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.text_vectors import TextVectors
from mmrec_bench.errors import DataError

TITLES = ["red apple pie", "green apple pie", "steel bolt kit", "steel nut kit", "", "red pear tart"]
BRANDS = [[("brand", "Orchard")], [("brand", "Orchard")], [("brand", "Forge")], [("brand", "Forge")], [], []]


def table() -> ItemTable:
    return ItemTable(titles=np.array(TITLES), words=Words.of(BRANDS))


def test_items_that_share_words_are_alike_and_items_without_any_are_absent() -> None:
    found = TextVectors(dim=3).table("text", table())
    assert found.values.shape == (6, 3)
    assert found.present.tolist() == [True, True, True, True, False, True]
    assert np.isnan(found.values[4]).all()
    near = found.values @ found.values.T
    np.testing.assert_allclose(np.diag(near)[found.present], 1, atol=1e-5)
    assert min(near[0, 1], near[2, 3]) > 0.8
    assert max(near[0, 2], near[0, 3], near[1, 2], near[1, 3]) < 0.1


def test_vectors_repeat_and_know_no_order_of_items() -> None:
    vectors = TextVectors(dim=3)
    first, again = (vectors.table("text", table()) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    back = ItemTable(titles=np.array(TITLES[::-1]), words=Words.of(BRANDS[::-1]))
    turned = vectors.table("text", back).values[::-1]
    real = first.present
    np.testing.assert_allclose(first.values[real] @ first.values[real].T, turned[real] @ turned[real].T, atol=1e-4)


@pytest.mark.parametrize(
    "items", [ItemTable(), ItemTable(titles=np.array(["the", ""])), ItemTable(titles=np.array(["bolt", "nut"]))]
)
def test_too_few_words_are_refused(items: ItemTable) -> None:
    with pytest.raises(DataError, match=r"text_vectors.dim is 2, and 0 words and tokens .* Lower text_vectors.dim"):
        TextVectors(dim=2).table("text", items)


def test_no_more_items_than_dimensions_are_refused() -> None:
    few = ItemTable(titles=np.array(["red apple pie tart", "red apple pie tart"]))
    with pytest.raises(DataError, match=r"text_vectors.dim is 2, and there are 2 items.* Lower text_vectors.dim"):
        TextVectors(dim=2).table("text", few)
