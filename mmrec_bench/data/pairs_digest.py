"""A name for who interacted with what, whatever file or format it was read from."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmrec_bench.types import StringArray

_PAIRS = 1 << 20


def pairs_digest(users: NDArray[Any], items: NDArray[Any], user_ids: StringArray, item_ids: StringArray) -> str:
    """Return the sha256 of the lines ``user<TAB>item<LF>`` of all pairs of external ids, sorted by user, then item.

    Ids are UTF-8 and sorted by their code points, so that ``sort`` and ``sha256sum`` come to the same (LC_ALL=C).

    Args:
        users: Row numbers, integers ``[E]``; pairs are unique.
        items: Row numbers, integers ``[E]``.
        user_ids: External ids by row number.
        item_ids: Those of items.
    """
    user_order, item_order = np.argsort(user_ids, kind="stable"), np.argsort(item_ids, kind="stable")
    user_places, item_places = (np.empty(len(order), np.int64) for order in (user_order, item_order))
    user_places[user_order] = np.arange(len(user_order))
    item_places[item_order] = np.arange(len(item_order))
    rows = np.lexsort((item_places[items], user_places[users]))
    return sorted_pairs_digest(
        user_places[users[rows]],
        item_places[items[rows]],
        pa.array(user_ids[user_order].tolist(), pa.string()),
        pa.array(item_ids[item_order].tolist(), pa.string()),
    )


def sorted_pairs_digest(users: NDArray[Any], items: NDArray[Any], user_ids: Any, item_ids: Any) -> str:
    """Return the same of pairs that are sorted, and of Arrow arrays of sorted ids."""
    hasher = hashlib.sha256()
    for start in range(0, len(users), _PAIRS):
        part = slice(start, start + _PAIRS)
        texts = user_ids.take(pa.array(users[part])), item_ids.take(pa.array(items[part]))
        lines = pc.binary_join_element_wise(*texts, "\t").cast(pa.large_string())
        hasher.update("\n".join([*lines.to_pylist(), ""]).encode())
    return hasher.hexdigest()
