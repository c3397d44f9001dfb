"""One judge a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mmrec_bench.leaderboard.judges.base import Judge as Judge
from mmrec_bench.leaderboard.judges.ctr import CtrJudge
from mmrec_bench.leaderboard.judges.interactive import InteractiveJudge
from mmrec_bench.leaderboard.judges.ranking import RankingJudge
from mmrec_bench.leaderboard.judges.retrieval import RetrievalJudge
from mmrec_bench.leaderboard.lists import Kind
from mmrec_bench.leaderboard.truth import Truth
from mmrec_bench.types import Task

JUDGES: Mapping[Task, Callable[[Truth], Judge]] = {
    "retrieval": RetrievalJudge,
    "ranking": RankingJudge,
    "ctr": CtrJudge,
    "interactive": InteractiveJudge,
}
"""How lists of each task are checked and measured."""

COLUMNS: Mapping[Task, Mapping[str, Kind]] = {
    "retrieval": RetrievalJudge.columns,
    "ranking": RankingJudge.columns,
    "ctr": CtrJudge.columns,
    "interactive": InteractiveJudge.columns,
}
"""Columns of the lists of each task."""

NUMBERS: Mapping[Task, tuple[str, ...]] = {
    "retrieval": ("score",),
    "ranking": ("score",),
    "ctr": ("probability",),
    "interactive": (),
}
"""Columns that must be finite."""
