"""From a table of lists with external ids to the arrays that evaluators judge; every mismatch is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.errors import DataError
from mmrec_bench.evaluation.retrieval import exclusions_of
from mmrec_bench.retrieval.base import PAD_ITEM, Rankings
from mmrec_bench.retrieval.membership import Membership
from mmrec_bench.types import FloatArray, IntArray, StringArray

N_TOLD = 5
"""Examples that a message names."""


def told(values: Sequence[object] | NDArray[np.generic]) -> str:
    """Return a few values as text, and how many more there are."""
    shown = ", ".join(str(value)[:80] for value in list(values[:N_TOLD]))
    return shown + (f" and {len(values) - N_TOLD} more" if len(values) > N_TOLD else "")


def rows_of(column: pd.Series, ids: StringArray, what: str) -> IntArray:
    """Return the row number of each external id, int64.

    Args:
        column: External ids; each distinct one of a categorical column is looked up once.
        ids: External ids by row number.
        what: ``user`` or ``item``, for the message.

    Raises:
        DataError: Ids that the data set does not know, or that are no texts or numbers.
    """
    codes, given = pd.factorize(column) if column.dtype != "category" else (column.cat.codes, column.cat.categories)
    if any(isinstance(one, bytes) for one in given):
        raise DataError(f"{what} ids are bytes; write them as texts")
    places = pd.Index(ids.astype(object)).get_indexer(pd.Index(given).astype(str).astype(object))
    codes = np.asarray(codes, np.int64)
    known = places[codes] >= 0 if len(places) else np.zeros(len(codes), np.bool_)
    known &= codes >= 0
    if not known.all():
        unknown = pd.unique(column.to_numpy()[~known].astype(object))
        raise DataError(f"{len(unknown)} {what} id(s) are none of the data set: {told(unknown)}")
    rows: IntArray = places[codes].astype(np.int64)
    return rows


def rankings_of(
    users: IntArray,
    items: IntArray,
    ranks: IntArray,
    scores: FloatArray,
    expected: IntArray,
    depth: int,
    user_ids: StringArray,
) -> Rankings:
    """Return the lists of all evaluated users, cut or padded to a depth.

    Args:
        users: Row number of the user of each row, int64 ``[N]``; so are the next three.
        items: Row number of the item.
        ranks: 1 = top.
        scores: float32.
        expected: Evaluated users, ascending, int64 ``[n]``.
        depth: Length of the lists.
        user_ids: External ids, for messages.

    Raises:
        DataError: Users without a list, or who are not evaluated; ranks that are not 1, 2, ... of each user; an item
            twice in a list.
    """
    counts = np.bincount(users, minlength=len(user_ids))
    evaluated = np.zeros(len(user_ids), np.bool_)
    evaluated[expected] = True
    if len(strangers := np.flatnonzero((counts > 0) & ~evaluated)):
        raise DataError(f"{len(strangers)} user(s) have a list and nothing held out: {told(user_ids[strangers])}")
    if len(missing := np.flatnonzero((counts == 0) & evaluated)):
        raise DataError(f"{len(missing)} evaluated user(s) have no list: {told(user_ids[missing])}")
    steps = np.diff(users)
    if ((steps < 0) | ((steps == 0) & (np.diff(ranks) < 0))).any():  # most files are in order already
        order = np.lexsort((ranks, users))
        users, items, ranks, scores = users[order], items[order], ranks[order], scores[order]
    lengths = counts[expected]
    place = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    if len(wrong := np.unique(users[ranks != place])):
        raise DataError(
            f"ranks of a list are 1, 2, 3, ... each once; not so of {len(wrong)} user(s): {told(user_ids[wrong])}"
        )
    pairs = np.sort(users * (items.max(initial=0) + 1) + items)
    if len(twice := pairs[1:][pairs[1:] == pairs[:-1]]):
        raise DataError(f"{len(twice)} row(s) repeat an item in the list of its user")
    kept = place <= depth
    row, column = np.repeat(np.arange(len(expected)), lengths)[kept], place[kept] - 1
    listed = np.full((len(expected), depth), PAD_ITEM, np.int64)
    scored = np.full((len(expected), depth), -np.inf, np.float32)
    listed[row, column], scored[row, column] = items[kept], scores[kept]
    return Rankings(expected, listed, scored, {})


def check_not_excluded(rankings: Rankings, excluded: Sequence[Interactions]) -> None:
    """Refuse lists with items that the protocol excludes for their users.

    Raises:
        DataError: Counts such rows.
    """
    barred = Membership(exclusions_of(excluded), excluded[0].n_items)
    if n := int(barred.contains(rankings.users, rankings.items).sum()):
        raise DataError(f"{n} row(s) rank an item that its user already has, which the protocol excludes")


def order_of(
    list_of: IntArray, items: IntArray, ranks: IntArray, scores: FloatArray, lists: Lists
) -> tuple[IntArray, FloatArray]:
    """Return order and scores of given lists, as `evaluation.ranking.arranged` does.

    Args:
        list_of: List of each row of the table, int64 ``[N]``; so are the next three.
        items: Row number of the item.
        ranks: 1 = top.
        scores: float32.
        lists: What was to be put in order.

    Raises:
        DataError: Rows that are not those of the lists, or ranks that are not 1, 2, ... of each list.
    """
    theirs, ours = np.lexsort((ranks, items, list_of)), np.lexsort((lists.items, lists.list_of))
    if len(list_of) != len(lists) or (list_of[theirs] != lists.list_of[ours]).any():
        raise DataError(
            f"there must be one row for each of {len(lists)} rows of {lists.n_lists} lists; got {len(list_of)} rows"
        )
    if (wrong := items[theirs] != lists.items[ours]).any():
        raise DataError(f"items are not those of the list in list(s) {told(np.unique(list_of[theirs][wrong]))}")
    lengths = lists.lengths()
    order = np.full((lists.n_lists, int(lengths.max(initial=0))), -1, np.int64)
    placed = np.full(order.shape, -np.inf, np.float32)
    outside = (ranks < 1) | (ranks > lengths[list_of])
    if outside.any() or len(np.unique(list_of * order.shape[1] + ranks - 1)) < len(ranks):
        raise DataError("ranks of a list are 1, 2, 3, ... to its length, each once")
    place = np.arange(len(lists)) - lists.offsets()[lists.list_of]
    order[list_of[theirs], ranks[theirs] - 1] = place[ours]
    placed[list_of, ranks - 1] = scores
    return order, placed


def probabilities_of(
    users: IntArray, items: IntArray, timestamps: IntArray, probabilities: FloatArray, points: Points
) -> FloatArray:
    """Return the probability of each impression, float32 ``[N]``.

    Impressions of one user, item and second are told apart by their order in the table.

    Raises:
        DataError: Rows that are not the impressions, or values outside [0, 1].
    """
    theirs = np.lexsort((timestamps, items, users))
    ours = np.lexsort((points.timestamps, points.items, points.users))
    pairs = ((users, points.users), (items, points.items), (timestamps, points.timestamps))
    if len(users) != len(points) or any((given[theirs] != known[ours]).any() for given, known in pairs):
        raise DataError(f"rows must be the {len(points)} impressions, each once; got {len(users)} rows")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError("probabilities must lie in [0, 1]")
    placed = np.empty(len(points), np.float32)
    placed[ours] = probabilities[theirs]
    return placed
