"""What users had before they were shown a list."""

from __future__ import annotations

import numpy as np

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import DataError


def histories_before(interactions: Interactions, lists: Lists) -> Histories:
    """Return the items of each list's user before the time of the list, oldest first.

    An interaction of the same second does not count, for nothing says that it came before.

    Raises:
        DataError: Lists or interactions have no timestamps, or other users.
    """
    if lists.timestamps is None or interactions.timestamps is None:
        raise DataError("histories need timestamps of the lists and of the interactions")
    if lists.n_users != interactions.n_users:
        raise DataError(
            f"lists are for {lists.n_users} users, interactions of {interactions.n_users}; must be the same"
        )
    order = np.lexsort((interactions.items, interactions.timestamps, interactions.users))
    first = min((times.min() for times in (lists.timestamps, interactions.timestamps) if len(times)), default=0)
    last = max((times.max() for times in (lists.timestamps, interactions.timestamps) if len(times)), default=0)
    span = last - first + 1
    keys = interactions.users[order] * span + (interactions.timestamps[order] - first)
    begins = np.searchsorted(keys, lists.users * span)
    lengths = np.searchsorted(keys, lists.users * span + (lists.timestamps - first)) - begins
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], lengths)
    return Histories(offsets, interactions.items[order][rows])
