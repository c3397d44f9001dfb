"""The judge of retrieval: the top k of every user, out of the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.experiments.stations.retrieval import VALID_EXCLUDES, evaluator
from mmrec_bench.leaderboard.judges.base import Checker, Judge, Looks, falling
from mmrec_bench.leaderboard.lists import Kind, ListTable, RowCount
from mmrec_bench.leaderboard.truth import Truth
from mmrec_bench.retrieval.base import PAD_ITEM
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever


class RetrievalJudge(Judge):
    """Of retrieval: see `Judge`."""

    columns: ClassVar[Mapping[str, Kind]] = {
        "part": "text",
        "user_id": "text",
        "rank": "int",
        "item_id": "text",
        "score": "float",
    }

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        protocol = truth.track.protocol
        assert isinstance(protocol, RetrievalProtocol)
        never_asked = build_retriever(RetrieverConfig(backend="torch"), torch.device("cpu"))
        self._evaluators = {
            part: evaluator(
                protocol,
                truth.prepared,
                held_out,
                VALID_EXCLUDES if part == "valid" else protocol.exclude,
                never_asked,
            )
            for part, held_out in truth.parts.items()
        }

    @property
    def n_rows(self) -> RowCount:
        """A row for each place of each list."""
        return RowCount.exactly(sum(int(judged.lengths.sum()) for judged in self._evaluators.values()))

    def _looks(self, rows: ListTable, part: str, checker: Checker) -> Looks | None:
        """Check the lists of one part."""
        truth, judged = self._truth, self._evaluators[part]
        users = checker.known(rows.texts["user_id"], truth.users, "user")
        items = checker.known(rows.texts["item_id"], truth.items, "item")
        if users is None or items is None:
            return None
        n, k = len(judged.users), judged.cutoffs[-1]
        place = np.full(len(truth.users), -1, np.int64)
        place[judged.users] = np.arange(n)
        ranks, scores, lists = rows.numbers["rank"], rows.numbers["score"], place[users]
        before = checker.n_failed

        def who(row: int) -> str:
            return repr(truth.users[users[row]])

        checker.refuse(lists < 0, "users", f"rows of {part} are of users who are not judged there", who)
        checker.refuse((ranks < 1) | (ranks > k), "lengths", f"ranks of {part} are not in 1..{k}", who)
        checker.refuse(~np.isfinite(scores), "scores", f"scores of {part} are no finite numbers of 32 bits", who)
        if checker.n_failed > before:
            return None
        counts = np.bincount(lists, minlength=n)

        def of(row: int) -> str:
            return repr(truth.users[judged.users[row]])

        checker.refuse(counts == 0, "users", f"users of {part} have no list", of)
        wrong = (counts > 0) & (counts != judged.lengths)
        checker.refuse(wrong, "lengths", f"lists of {part} are not {k} long (or all that may be ranked)", of)
        table, values = np.full((n, k), PAD_ITEM, np.int64), np.full((n, k), -np.inf, scores.dtype)
        taken = np.bincount(lists * k + ranks - 1, minlength=n * k).reshape(n, k)
        checker.refuse((taken > 1).any(axis=1), "duplicates", f"lists of {part} have a rank twice", of)
        table[lists, ranks - 1], values[lists, ranks - 1] = items, scores
        ordered = np.sort(table, axis=1)
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD_ITEM)).any(axis=1)
        checker.refuse(twice, "duplicates", f"lists of {part} hold an item twice", of)
        barred = judged.barred(table).any(axis=1)
        checker.refuse(barred, "exclusions", f"lists of {part} hold items that the user is known to have", of)
        inside = table != PAD_ITEM
        places = truth.ties[np.maximum(table, 0)]
        share = falling(checker, part, values, places, inside, judged.users, truth.users)
        return Looks(table.reshape(-1), share)
