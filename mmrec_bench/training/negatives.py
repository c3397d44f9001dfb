"""Negative items: exact uniform draws from the items a user has not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError


class UnseenItems:
    """Draws items uniformly from those that occur in the training part but not with the given user.

    Instead of drawing any item and rejecting seen ones, it draws the rank of the answer among the n unseen items and
    finds the item by one binary search, so that a user who has seen nearly everything costs no more than another and
    the device never waits for the host. Number the items of the training part 0, 1, ..., and let s_0 < s_1 < ... be
    those the user has seen. Before s_k lie ``s_k - k`` unseen ones; so the unseen item of rank r is ``r + c``, where c
    counts the k with ``s_k - k <= r``.

    Args:
        train: Observed pairs.
        device: Where items are drawn.

    Raises:
        DataError: A user has seen every item of the training part.
    """

    def __init__(self, train: Interactions, device: torch.device) -> None:
        rows = np.argsort(train.keys())
        users, items = train.users[rows], train.items[rows]
        catalogue = np.unique(items)
        seen = train.user_counts()
        if (full := np.flatnonzero((seen == len(catalogue)) & (seen > 0))).size:
            raise DataError(
                f"no negative item is left for {len(full)} users who have seen all {len(catalogue)} items of the "
                f"training part, such as the user of row {full[0]}; remove these users, or train a model that takes "
                "pairs without negatives"
            )
        first = np.cumsum(seen) - seen
        unseen_before = np.searchsorted(catalogue, items) - (np.arange(len(rows)) - first[users])
        self._stride = len(catalogue) + 1
        self._catalogue = torch.tensor(catalogue, device=device)
        self._n_unseen = torch.tensor(len(catalogue) - seen, device=device)
        self._first = torch.tensor(first, device=device)
        self._keys = torch.tensor(users * self._stride + unseen_before, device=device)  # ascending

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one item for each entry of ``users``, int64 ``[n]`` to int64 ``[n]``, independently.

        Args:
            users: Rows of users.
            generator: Random numbers, on the device of this object.
        """
        # The modulo of a 62-bit number favours small ranks by less than n_items / 2**62.
        ranks = torch.randint(1 << 62, users.shape, generator=generator, device=users.device)
        ranks %= self._n_unseen.index_select(0, users)
        passed = torch.searchsorted(self._keys, users * self._stride + ranks, right=True)
        return self._catalogue.index_select(0, ranks + passed - self._first.index_select(0, users))
