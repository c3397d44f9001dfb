"""The judge of ranking: the order of given lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import pandas as pd

from mmrec_bench.data.lists import Lists
from mmrec_bench.leaderboard.judges.base import Checker, Judge, Looks, falling
from mmrec_bench.leaderboard.lists import Kind, ListTable, RowCount
from mmrec_bench.types import IntArray


class RankingJudge(Judge):
    """Of ranking: see `Judge`."""

    columns: ClassVar[Mapping[str, Kind]] = {
        "part": "text",
        "list": "int",
        "user_id": "text",
        "rank": "int",
        "item_id": "text",
        "score": "float",
        "label": "int",
    }

    @property
    def n_rows(self) -> RowCount:
        """A row for each row of each list."""
        return RowCount.exactly(sum(len(lists) for lists in self._truth.parts.values()))

    def _looks(self, rows: ListTable, part: str, checker: Checker) -> Looks | None:
        """Check the lists of one part."""
        truth, numbers = self._truth, rows.numbers
        lists: Lists = truth.parts[part]
        users = checker.known(rows.texts["user_id"], truth.users, "user")
        items = checker.known(rows.texts["item_id"], truth.items, "item")
        if users is None or items is None:
            return None
        of, ranks, scores, labels = (numbers[name] for name in ("list", "rank", "score", "label"))
        before = checker.n_failed

        def which(row: int) -> str:
            return f"list {of[row]}"

        checker.refuse(
            (of < 0) | (of >= lists.n_lists), "users", f"rows of {part} are of lists that are not there", which
        )
        checker.refuse(~np.isfinite(scores), "scores", f"scores of {part} are no finite numbers of 32 bits", which)
        if checker.n_failed > before:
            return None
        lengths, offsets = lists.lengths(), lists.offsets()
        counts = np.bincount(of, minlength=lists.n_lists)
        checker.refuse(counts != lengths, "lengths", f"lists of {part} have other lengths", lambda row: f"list {row}")
        checker.refuse(users != lists.users[of], "users", f"rows of {part} are of another user's list", which)
        wrong = (ranks < 1) | (ranks > lengths[of])
        checker.refuse(wrong, "lengths", f"ranks of {part} are not in 1..length", which)
        if checker.n_failed > before:
            return None
        longest = int(lengths.max())
        taken = np.bincount(of * longest + ranks - 1, minlength=lists.n_lists * longest)
        checker.refuse(
            taken > 1, "duplicates", f"ranks of {part} are given twice", lambda row: f"list {row // longest}"
        )
        assert lists.labels is not None
        mine = np.lexsort((labels, items, of))
        theirs = np.lexsort((lists.labels, lists.items, lists.list_of))
        differs = items[mine] != lists.items[theirs]
        checker.refuse(
            differs, "ids", f"rows of {part} hold other items than the list, or one twice", which_in(of, mine)
        )
        if checker.n_failed > before:
            return None
        differs = labels[mine] != lists.labels[theirs]
        checker.refuse(differs, "labels", f"labels of {part} are not those of the data", which_in(of, mine))
        if checker.n_failed > before:
            return None
        within = np.empty(len(of), np.int64)
        within[mine] = theirs - offsets[:-1][lists.list_of[theirs]]
        order = np.full((lists.n_lists, longest), -1, np.int64)
        values = np.full(order.shape, -np.inf, scores.dtype)
        order[of, ranks - 1], values[of, ranks - 1] = within, scores
        inside = order >= 0
        ranked = lists.items[np.minimum(offsets[:-1, None] + np.maximum(order, 0), len(lists.items) - 1)]
        names = pd.Index([f"list {row}" for row in range(lists.n_lists)])
        share = falling(checker, part, values, truth.ties[ranked], inside, np.arange(lists.n_lists), names)
        return Looks(order.reshape(-1), share)


def which_in(of: IntArray, order: IntArray) -> Callable[[int], str]:
    """Return how to name the list of a row of sorted rows."""
    return lambda row: f"list {of[order[row]]}"
