"""The checkerboard: even users like even items, odd users odd items, and one cell of each user is withheld."""

from __future__ import annotations

import numpy as np

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.errors import DataError

MIN_SIDE = 8
"""Fewest users and items: less leaves too little to learn from."""


def checkerboard(n_users: int, n_items: int) -> Dataset[Interactions]:
    """Return a data set on which any sane personalised model reaches recall@1 = 1.

    Each user likes all items of its own parity. The cell on the diagonal is withheld: it is the validation item of
    users 0, 1, 4, 5, 8, 9, ... and the test item of users 2, 3, 6, 7, ...; a user of the one part has nothing in the
    other. So, whether training rows or training and validation rows are excluded, exactly one item of the right
    parity is left for every user that is evaluated, and every item is liked by others in train. With more users than
    items, the diagonal starts again at the first item. Popularity cannot solve it. Image and text features carry the
    parity, with a little noise that tells items apart.

    Raises:
        DataError: Fewer than 8 users or items.
    """
    if n_users < MIN_SIDE or n_items < MIN_SIDE:
        raise DataError(f"a checkerboard needs at least {MIN_SIDE} users and items; got {n_users} and {n_items}")
    rows, columns = np.arange(n_users), np.arange(n_items)
    users, items = np.nonzero(rows[:, None] % 2 == columns % 2)
    of_parity = (n_items + 1 - rows % 2) // 2
    withheld = rows // 2 % of_parity * 2 + rows % 2
    part = np.where(rows // 2 % 2 == 0, 1, 2)
    labels = np.where(items == withheld[users], part[users], 0).astype(np.int8)
    colours = [("colour", "black" if item % 2 else "white") for item in range(n_items)]
    return Dataset(
        "checkerboard",
        Interactions(users, items, n_users, n_items, labels=labels),
        {modality: _parity_features(modality, n_items, dim) for modality, dim in (("image", 8), ("text", 6))},
        ItemTable(
            titles=np.array([f"{colour} square {item}" for item, (_, colour) in enumerate(colours)]),
            words=Words.of([[word] for word in colours]),
        ),
        np.array([f"user-{row}" for row in range(n_users)]),
        np.array([f"item-{row}" for row in range(n_items)]),
    )


def _parity_features(modality: str, n_items: int, dim: int) -> FeatureTable:
    rng = np.random.default_rng(dim)
    parity = np.where(np.arange(n_items) % 2 == 0, 1.0, -1.0)[:, None]
    values = parity + 0.1 * rng.standard_normal((n_items, dim))
    return FeatureTable(modality, values.astype(np.float32), np.ones(n_items, np.bool_), "the parity of the item")
