"""Which users and items form the slices on which metrics are also reported. All are functions of training alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmrec_bench.types import BoolArray, IntArray


def user_slices(train_counts: IntArray) -> dict[str, BoolArray]:
    """Return the users of each activity slice, bool ``[n_users]``.

    ``users:low``, ``users:mid`` and ``users:high`` part the users with training interactions at the terciles of their
    number. Equally active users are never parted, so the slices differ in size and one may even be empty: low holds
    users up to the count at which the first third is reached, mid those above it up to that of the second third.
    ``users:cold`` have no training interaction.

    Args:
        train_counts: Training interactions of each user, int64 ``[n_users]``.
    """
    warm = np.sort(train_counts[train_counts > 0])
    low, mid = (int(warm[max(0, -(-part * len(warm) // 3) - 1)]) if len(warm) else 0 for part in (1, 2))
    return {
        "users:low": (train_counts > 0) & (train_counts <= low),
        "users:mid": (train_counts > low) & (train_counts <= mid),
        "users:high": train_counts > mid,
        "users:cold": train_counts == 0,
    }


def item_slices(train_counts: IntArray, ties: IntArray, present: Mapping[str, BoolArray]) -> dict[str, BoolArray]:
    """Return the items of each slice, bool ``[n_items]``.

    ``items:head``, ``items:mid`` and ``items:tail`` part the items with training interactions, from the most popular
    down (ties by the protocol's hash), into slices that carry a third of the interactions each; the item on a border
    belongs to the more popular side. ``items:warm`` are all of these, ``items:cold`` have no training interaction, and
    ``items:no-image`` (and so on) have no vector of the modality.

    Args:
        train_counts: Training interactions of each item, int64 ``[n_items]``.
        ties: Tie rank of each item, int64 ``[n_items]``.
        present: By modality, whether each item has a vector, bool ``[n_items]``.
    """
    order = np.lexsort((ties, -train_counts))
    carried = train_counts[order]
    before = np.cumsum(carried) - carried
    third = np.empty(len(order), np.int64)
    third[order] = 3 * before // max(1, int(carried.sum()))
    warm = train_counts > 0
    slices = {f"items:{name}": warm & (third == place) for place, name in enumerate(("head", "mid", "tail"))}
    slices["items:warm"], slices["items:cold"] = warm, ~warm
    for modality in sorted(present):
        slices[f"items:no-{modality}"] = ~present[modality]
    return slices
