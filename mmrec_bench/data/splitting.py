"""The split that follows from a rule, checked and counted."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.data.rules import PARTS, TEST, TRAIN, VALID, ColdUsers, SplitConfig
from mmrec_bench.data.split import SealedTest, Split, SplitReport
from mmrec_bench.errors import ProtocolError
from mmrec_bench.types import BoolArray


def make_split(interactions: Interactions, rule: SplitConfig, cold_users: ColdUsers = "drop") -> Split[Interactions]:
    """Part the interactions by a rule.

    Every part is ordered by user and item, and carries no delivered labels.

    Args:
        interactions: All of the data set.
        rule: Which row belongs where.
        cold_users: What becomes of held-out rows whose user has no row in train; counted both ways.

    Raises:
        ProtocolError: The data lacks what the rule needs, or a part is empty.
    """
    labels, notes = rule.assign(interactions)
    users, items = interactions.users, interactions.items
    warm = np.zeros(interactions.n_users, np.bool_)
    warm[users[labels == TRAIN]] = True
    known = np.zeros(interactions.n_items, np.bool_)
    known[items[labels == TRAIN]] = True

    kept: dict[str, BoolArray] = {"train": labels == TRAIN}
    cold: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for part, label in (("valid", VALID), ("test", TEST)):
        rows = labels == label
        is_cold = rows & ~warm[users]
        cold[part] = len(np.unique(users[is_cold]))
        dropped[part] = int(is_cold.sum()) if cold_users == "drop" else 0
        kept[part] = rows & ~is_cold if cold_users == "drop" else rows
    for part in PARTS:
        if not kept[part].any():
            raise ProtocolError(_empty(part, rule, labels, dropped))
    order = np.argsort(interactions.keys(), kind="stable")
    parts = {part: dataclasses.replace(interactions.select(order[kept[part][order]]), labels=None) for part in PARTS}
    report = SplitReport(
        counts={part: len(parts[part]) for part in PARTS},
        users={part: len(np.unique(parts[part].users)) for part in PARTS},
        cold_users=cold,
        cold_users_dropped=dropped,
        cold_items={part: int((parts[part].item_counts()[~known] > 0).sum()) for part in PARTS[1:]},
        notes=notes,
    )
    return Split(parts["train"], parts["valid"], SealedTest(parts["test"]), report)


def make_list_split(lists: Lists, rule: SplitConfig) -> Split[Lists]:
    """Part lists by a rule; none is dropped, whoever it is for.

    Every part keeps the order of the lists, and carries no delivered parts.

    Args:
        lists: All of the data set.
        rule: Which list belongs where.

    Returns:
        The split; the report counts lists.

    Raises:
        ProtocolError: The data lacks what the rule needs, or a part is empty.
    """
    labels, notes = rule.assign_lists(lists)
    parts: dict[str, Lists] = {}
    for part, label in zip(PARTS, (TRAIN, VALID, TEST), strict=True):
        if not (labels == label).any():
            raise ProtocolError(_empty(part, rule, labels, {}, "lists"))
        parts[part] = dataclasses.replace(lists.select(np.flatnonzero(labels == label)), parts=None)
    users = {part: np.unique(parts[part].users) for part in PARTS}
    known = parts["train"].item_counts() > 0
    report = SplitReport(
        counts={part: parts[part].n_lists for part in PARTS},
        users={part: len(users[part]) for part in PARTS},
        cold_users={part: len(np.setdiff1d(users[part], users["train"])) for part in PARTS[1:]},
        cold_users_dropped=dict.fromkeys(PARTS[1:], 0),
        cold_items={part: int((parts[part].item_counts()[~known] > 0).sum()) for part in PARTS[1:]},
        notes=notes,
    )
    return Split(parts["train"], parts["valid"], SealedTest(parts["test"]), report)


def make_point_split(points: Points, rule: SplitConfig) -> Split[Points]:
    """Part impressions by a rule; none is dropped, whoever it is for, and every part stays in time order.

    Args:
        points: All of the data set.
        rule: Which impression belongs where, or nowhere.

    Returns:
        The split; the report counts impressions.

    Raises:
        ProtocolError: The data lacks what the rule needs, a part is empty, or a part has labels of one class alone.
    """
    labels, notes = rule.assign_points(points)
    parts: dict[str, Points] = {}
    for part, label in zip(PARTS, (TRAIN, VALID, TEST), strict=True):
        if not (labels == label).any():
            raise ProtocolError(_empty(part, rule, labels, {}, "impressions"))
        parts[part] = points.select(labels == label)
        if len(classes := np.unique(parts[part].labels)) < 2:
            raise ProtocolError(
                f"split '{rule.name}': all {len(parts[part])} impressions of the part '{part}' have label "
                f"{classes[0]}, and one class alone can be neither learned nor judged. Change protocol.split, or "
                "dataset.impressions"
            )
    users = {part: np.unique(parts[part].users) for part in PARTS}
    items = {part: np.unique(parts[part].items) for part in PARTS}
    report = SplitReport(
        counts={part: len(parts[part]) for part in PARTS},
        users={part: len(users[part]) for part in PARTS},
        cold_users={part: len(np.setdiff1d(users[part], users["train"])) for part in PARTS[1:]},
        cold_users_dropped=dict.fromkeys(PARTS[1:], 0),
        cold_items={part: len(np.setdiff1d(items[part], items["train"])) for part in PARTS[1:]},
        notes=notes,
    )
    return Split(parts["train"], parts["valid"], SealedTest(parts["test"]), report)


def _empty(part: str, rule: SplitConfig, labels: NDArray[np.int8], dropped: dict[str, int], what: str = "rows") -> str:
    counts = " / ".join(str(count) for count in np.bincount(labels, minlength=3)[:3])
    message = f"split '{rule.name}' leaves the part '{part}' empty (train / valid / test have {counts} {what}"
    if dropped.get(part):
        message += f", of which {dropped[part]} of '{part}' belong to users without a training row and are dropped"
    more = "data with more rows a user"
    if what == "impressions":
        more = "data that spans more time"
    if what == "lists":
        more = "data with more lists; carved-valid takes validation from train, by-user parts all lists anew"
    return f"{message}); there is no fall-back. Choose another protocol.split, or {more}"
