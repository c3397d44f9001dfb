"""A few items as people see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.reports.errors.thumbnails import Thumbnails
from mmrec_bench.reports.inspection.base import Rows

N_ITEMS, N_WORDS = 24, 5


@dataclass(frozen=True, slots=True)
class Sample:
    """An item.

    Attributes:
        item_id: External id.
        title: Title; empty where there is none.
        words: Each field of words with a few of them.
        n_rows: Number of its rows.
        missing: Modalities that it lacks.
        link: Address of its picture; empty where there is none.
        picture: Its picture as a data URL, where pictures are given.
    """

    item_id: str
    title: str
    words: tuple[str, ...]
    n_rows: int
    missing: tuple[str, ...]
    link: str
    picture: str | None


def samples(
    dataset: Dataset[Interactions] | Dataset[Lists], pictures: Thumbnails | None, n_items: int = N_ITEMS
) -> tuple[Sample, ...]:
    """Return some items by a seeded hash of their row numbers: the same whenever the data is.

    Args:
        dataset: The data set.
        pictures: Where pictures come from, named by external ids.
        n_items: How many.
    """
    every = np.arange(dataset.payload.n_items)
    chosen = np.sort(np.argsort(pair_hash(np.zeros_like(every), every, 0, "sample of items"), kind="stable")[:n_items])
    degrees, items = Rows.of(dataset.payload).item_degrees(), dataset.items
    made = []
    for item in chosen.tolist():
        item_id = str(dataset.item_ids[item])
        address = "" if items.images is None else str(items.images[item])
        made.append(
            Sample(
                item_id,
                "" if items.titles is None else str(items.titles[item]),
                () if items.words is None else _words(items.words.of_item(item)),
                int(degrees[item]),
                tuple(name for name, table in dataset.features.items() if not table.present[item]),
                address if address.startswith(("http://", "https://")) else "",
                None if pictures is None else pictures.of(item_id),
            )
        )
    return tuple(made)


def _words(words: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    fields: dict[str, list[str]] = {}
    for field, word in words:
        fields.setdefault(field, []).append(word)
    return tuple(
        f"{field}: {', '.join(found[:N_WORDS])}" + (", …" if len(found) > N_WORDS else "")
        for field, found in fields.items()
    )
