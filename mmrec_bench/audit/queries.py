"""Checks of lists: queries in several parts, and rows or lists that occur again."""

from __future__ import annotations

import numpy as np

from mmrec_bench.audit.base import N_EXAMPLES, Finding, check
from mmrec_bench.audit.subject import Subject, among
from mmrec_bench.data.chance import mixed
from mmrec_bench.data.lists import Lists
from mmrec_bench.types import BoolArray, FloatArray, IntArray

FAILS = 0.01
"""Share of held-out rows from which on rows that occur again fail rather than warn."""


@check("shared-queries", "Do lists of one user or query stand in train and held out?", kinds=("lists",))
def shared_queries(subject: Subject) -> Finding:
    """Count users (or queries) with lists on both sides."""
    held_out = np.unique(np.concatenate([part.users for part in subject.held_out]))
    shared = held_out[np.isin(held_out, subject.train.users)]
    counts = {"queries": len(shared), "share": len(shared) / len(held_out)}
    if not len(shared):
        return Finding("pass", "no user or query has lists in train and held out", counts)
    message = f"{len(shared) / len(held_out):.1%} of the held-out users (or queries) have lists in train, too"
    if not subject.rule.parts_users:
        message += f"; split '{subject.rule.name}' does not keep them apart"
    examples = tuple(subject.user(user) for user in shared[:N_EXAMPLES])
    return Finding("fail" if subject.rule.parts_users else "warn", message, counts, examples)


@check("repeated-rows", "Do rows of train occur again in held-out lists, feature by feature?", kinds=("lists",))
def repeated_rows(subject: Subject) -> Finding:
    """Compare row features across parts; rows without any feature tell nothing and are left out."""
    if subject.train.features is None:
        return Finding("not applicable", "rows have no features")
    tokens = _tokens(subject)
    train, *held_parts = tokens
    held_out = np.concatenate(held_parts)
    order = np.argsort(train, kind="stable")
    again = among(held_out, train[order]) & (held_out >= 0)
    counts: dict[str, float] = {"rows": int(again.sum()), "share": float(again.mean())}
    if subject.train.labels is not None and again.any():
        first = order[np.searchsorted(train[order], held_out[again])]
        labels = np.concatenate([part.labels for part in subject.held_out])[again]
        counts["other_label"] = int((labels != subject.train.labels[first]).sum())
    if not again.any():
        return Finding("pass", "no held-out row has the features of a training row", counts)
    message = f"{again.mean():.2%} of the held-out rows have exactly the features of a training row"
    if "other_label" in counts:
        message += f", {int(counts['other_label']):,} of them with another label"
    users = np.concatenate([part.users[part.list_of] for part in subject.held_out])
    items = np.concatenate([part.items for part in subject.held_out])
    examples = tuple(
        f"{subject.user(users[row])}, {subject.item(items[row])}" for row in np.flatnonzero(again)[:N_EXAMPLES]
    )
    return Finding("fail" if again.mean() > FAILS else "warn", message, counts, examples)


@check("repeated-lists", "Do whole lists of train occur again held out?", kinds=("lists",))
def repeated_lists(subject: Subject) -> Finding:
    """Compare lists of two rows or more as sets: of row features where there are some, of items elsewhere."""
    tokens = _tokens(subject)
    train, *held_out = (
        _list_hashes(part, row) for part, row in zip((subject.train, *subject.held_out), tokens, strict=True)
    )
    known = np.unique(train[train != 0])
    again = [among(hashes, known) & (hashes != 0) for hashes in held_out]
    users = np.concatenate([part.users[mask] for part, mask in zip(subject.held_out, again, strict=True)])
    n_lists = sum(part.n_lists for part in subject.held_out)
    counts = {"lists": len(users), "share": len(users) / n_lists}
    if not len(users):
        return Finding("pass", "no held-out list holds the rows of a training list", counts)
    what = "items" if subject.train.features is None else "row features"
    message = f"{len(users):,} of {n_lists:,} held-out lists hold exactly the {what} of a training list"
    examples = tuple(subject.user(user) for user in users[:N_EXAMPLES])
    # Two users may well be shown the same items; two queries with the same features are one query under two names.
    return Finding("warn" if subject.train.features is None else "fail", message, counts, examples)


@check("target-in-history", "Do histories hold what is to be found in the list?", kinds=("lists",))
def target_in_history(subject: Subject) -> Finding:
    """Count held-out lists whose history holds one of their relevant (or clicked) items."""
    parts = [part for part in subject.held_out if part.histories is not None]
    if not parts:
        return Finding("not applicable", "lists have no histories")
    found = [_in_history(part) for part in parts]
    share = float(np.concatenate(found).mean())
    counts = {"lists": int(sum(mask.sum() for mask in found)), "share": share}
    if not counts["lists"]:
        return Finding("pass", "no history holds a relevant item of its list", counts)
    message = (
        f"the history of {share:.1%} of the held-out lists holds one of their relevant items: taken again, or leaked"
    )
    return Finding("warn", message, counts)


def _in_history(lists: Lists) -> BoolArray:
    assert lists.histories is not None
    wanted = lists.labels > 0 if lists.labels is not None else lists.clicks
    if wanted is None:
        return np.zeros(lists.n_lists, np.bool_)
    n_items = np.int64(lists.n_items)
    owners = np.repeat(np.arange(lists.n_lists), np.diff(lists.histories.offsets))
    known = np.unique(owners * n_items + lists.histories.items)
    mask = np.zeros(lists.n_lists, np.bool_)
    mask[lists.list_of[among(lists.list_of * n_items + lists.items, known) & wanted]] = True
    return mask


def _tokens(subject: Subject) -> list[IntArray]:
    """Return a number for each row of each part, equal where features (or items, without any) are; -1 for all zero.

    Numbers are hashes of 63 bits: any two of a million rows are mistaken for equal once in 10 million times.
    """
    parts = (subject.train, *subject.held_out)
    if subject.train.features is None:
        return [part.items for part in parts]
    return [np.where(part.features.any(axis=1), _row_hashes(part.features), -1) for part in parts]


def _row_hashes(features: FloatArray) -> IntArray:
    hashes = np.zeros(len(features), np.uint64)
    for column in (features + np.float32(0)).view(np.uint32).T:  # minus zero is zero
        hashes = mixed(hashes ^ column)
    return (hashes >> np.uint64(1)).astype(np.int64)


def _list_hashes(lists: Lists, tokens: IntArray) -> IntArray:
    """Return a hash of the multiset of tokens of each list; 0 for lists of fewer than two telling rows."""
    telling = tokens >= 0
    hashes = np.zeros(lists.n_lists, np.uint64)
    np.add.at(hashes, lists.list_of[telling], mixed(tokens[telling].astype(np.uint64)))
    hashes[np.bincount(lists.list_of[telling], minlength=lists.n_lists) < 2] = 0
    return hashes.view(np.int64)
