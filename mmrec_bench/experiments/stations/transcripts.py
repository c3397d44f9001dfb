"""What a run folder keeps of every session: what lay on the table, what was shown, and what was answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.lexicon import Lexicon
from mmrec_bench.evaluation.sessions import FIELD, ITEM, InteractiveEvaluation, InteractiveEvaluator
from mmrec_bench.types import BoolArray, IntArray

KINDS = ("item", "query", "field")
"""Names of what is shown, by `evaluation.sessions.ITEM`, `TERM` and `FIELD`."""


class Transcripts:
    """Writes sessions down so that people, and programs of others, can read them.

    Args:
        dataset: Ids and titles.
        lexicon: Words and queries.
    """

    def __init__(self, dataset: Dataset[Any], lexicon: Lexicon) -> None:
        self._dataset, self._lexicon = dataset, lexicon

    def table(self, found: InteractiveEvaluation, evaluator: InteractiveEvaluator) -> pd.DataFrame:
        """Return one row a session, round and slot, in this order.

        Round 0 holds the candidates before anything is shown (of the full catalogue those that are wanted), rounds 1
        to R what was shown, and round R + 1 the last guess. ``clicked`` is the answer, ``wanted`` what the truth is,
        ``answer`` the words that were named of a field, and ``rank`` the place of the first wanted item when the round
        began, 0 where none was left.
        """
        script, ranks, rounds = found.transcript, found.courses.ranks, found.courses.ranks.shape[1] - 1
        on_table, items, wanted = evaluator.listed()
        row_of = np.searchsorted(found.numbers, on_table)
        guessed = np.flatnonzero(found.last_guess >= 0)
        right = ranks[guessed, -1] == 1
        size, more = np.zeros_like(on_table), np.zeros_like(guessed)
        columns = {
            "session": (on_table, script.session, found.numbers[guessed]),
            "round": (size, script.round, more + rounds + 1),
            "slot": (_places(on_table), script.slot, more + 1),
            "kind": (size + ITEM, script.kind, more + ITEM),
            "node": (items, script.node, found.last_guess[guessed]),
            "clicked": (size > 0, script.clicked, right),
            "wanted": (wanted, script.wanted, right),
            "rank": (ranks[row_of, 0], script.rank, ranks[guessed, -1]),
        }
        table = pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})
        table = table.sort_values(["session", "round", "slot"], ignore_index=True)
        return self._readable(table, found)

    def _readable(self, table: pd.DataFrame, found: InteractiveEvaluation) -> pd.DataFrame:
        kind, node = table["kind"].to_numpy(), table["node"].to_numpy()
        session = table["session"].to_numpy()
        user_ids = self._dataset.user_ids[found.users[np.searchsorted(found.numbers, session)]]
        ids = self._dataset.item_ids
        named = self._named(table)
        columns = {
            "session": session,
            "user_id": pd.Categorical(user_ids),
            "round": table["round"].astype(np.int32),
            "slot": table["slot"].astype(np.int32),
            "kind": pd.Categorical.from_codes(kind, pd.Index(KINDS)),
            "item_id": pd.Categorical(_told(kind, node, lambda kind, node: str(ids[node]) if kind == ITEM else None)),
            "text": pd.Categorical(_told(kind, node, self._text)),
            "answer": pd.Categorical(named, categories=sorted({words for words in named if words is not None})),
            "clicked": table["clicked"],
            "wanted": table["wanted"],
            "rank": table["rank"].astype(np.int32),
        }
        return pd.DataFrame(columns)

    def _text(self, kind: int, node: int) -> str:
        """Return what people would read: titles of items (words, where there are none), queries, names of fields."""
        titles, lexicon = self._dataset.items.titles, self._lexicon
        if kind == FIELD:
            return lexicon.fields[node]
        if kind != ITEM:
            return lexicon.text(node)
        if titles is not None and titles[node]:
            return str(titles[node])
        return " + ".join(f"{field}: {value}" for field, value in lexicon.items.of_item(node))

    def _named(self, table: pd.DataFrame) -> list[str | None]:
        """Return the words of wanted items in each field that was asked for and answered."""
        named: list[str | None] = [None] * len(table)
        asked = table[(table["kind"] == FIELD) & table["clicked"]]
        wanted = table[(table["round"] == 0) & table["wanted"]].groupby("session")["node"].agg(list)
        for row, session, field in zip(asked.index, asked["session"], asked["node"], strict=True):
            words = {word for item in wanted[session] for word in self._lexicon.items.of_item(item)}
            named[row] = ", ".join(sorted(value for name, value in words if name == self._lexicon.fields[field]))
        return named


def _told(kind: IntArray, node: IntArray, tell: Callable[[int, int], str | None]) -> np.ndarray[Any, Any]:
    """Return what is told of each pair of kind and node; each pair is asked for once."""
    keys, places = np.unique(node * len(KINDS) + kind, return_inverse=True)
    return np.array([tell(key % len(KINDS), key // len(KINDS)) for key in keys.tolist()], dtype=object)[places]


def _places(groups: IntArray) -> IntArray:
    """Return 1, 2, ... within each run of equal numbers."""
    first: BoolArray = np.concatenate([[True], groups[1:] != groups[:-1]])
    starts = np.flatnonzero(first)
    places: IntArray = np.arange(len(groups)) - np.repeat(starts, np.diff([*starts, len(groups)])) + 1
    return places
