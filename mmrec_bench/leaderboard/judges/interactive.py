"""The judge of sessions: what was shown is shown again, to the same simulated users.

Answers, and what was found within the rounds or by the last guess after all of them, are recomputed. The place of the
first wanted item when a round began is the word of the system; it is held against what was still on the table, and a
rerun shows whether it is true. Titles and named words in a transcript are for readers, and not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.sessions import FIELD, ITEM, TERM, InteractiveEvaluation, InteractiveEvaluator
from mmrec_bench.experiments.stations.transcripts import KINDS
from mmrec_bench.leaderboard.findings import shown
from mmrec_bench.leaderboard.judges.base import Checker, Judge, Looks
from mmrec_bench.leaderboard.judges.replay import Replay
from mmrec_bench.leaderboard.lists import Kind, ListTable, RowCount
from mmrec_bench.leaderboard.truth import Truth
from mmrec_bench.models.interactive.base import InteractiveContext
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.types import BoolArray, IntArray


class InteractiveJudge(Judge):
    """Of interactive: see `Judge`."""

    columns: ClassVar[Mapping[str, Kind]] = {
        "part": "text",
        "session": "int",
        "user_id": "text",
        "round": "int",
        "slot": "int",
        "kind": "text",
        "item_id": "optional text",
        "text": "optional text",
        "answer": "optional text",
        "clicked": "bool",
        "wanted": "bool",
        "rank": "int",
    }

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        protocol, prepared = truth.track.protocol, truth.prepared
        assert isinstance(protocol, InteractiveProtocol)
        assert prepared.lexicon is not None
        self._protocol: InteractiveProtocol = protocol
        self._evaluators = {
            part: InteractiveEvaluator(protocol, truth.train, held_out, torch.device("cpu"))
            for part, held_out in truth.parts.items()
        }
        sizes = truth.train.n_users, truth.train.n_items
        silent = Representations(torch.zeros(sizes[0], 1), torch.zeros(sizes[1], 1))
        self._context = InteractiveContext(truth.train, prepared.lexicon, silent, truth.ties)
        lexicon = prepared.lexicon
        n_terms = len(lexicon.vocabulary) + lexicon.queries.n_items
        self._terms = pd.Index([lexicon.text(term) for term in range(n_terms)])
        self._fields = pd.Index(list(lexicon.fields))

    @property
    def n_rows(self) -> RowCount:
        """How long sessions are hangs on the system: at most all candidates, full rounds, and a last guess."""
        shown = self._protocol.cutoffs[-1] * self._protocol.slots + 1
        on_table = [evaluator.listed()[0] for evaluator in self._evaluators.values()]
        return RowCount(most=sum(len(sessions) + len(np.unique(sessions)) * shown for sessions in on_table))

    def _looks(self, rows: ListTable, part: str, checker: Checker) -> Looks | None:
        """Check the sessions of one part."""
        truth, evaluator, numbers = self._truth, self._evaluators[part], rows.numbers
        session, round_, slot = (numbers[name] for name in ("session", "round", "slot"))
        on_table, items, wanted = evaluator.listed()
        held = np.unique(on_table)
        rounds, n_slots = self._protocol.cutoffs[-1], self._protocol.slots
        users = checker.known(rows.texts["user_id"], truth.users, "user")
        nodes = self._nodes(rows, checker)
        if users is None or nodes is None:
            return None
        kinds, node = nodes
        before = checker.n_failed

        def which(row: int) -> str:
            return f"session {session[row]}, round {round_[row]}"

        checker.refuse(~np.isin(session, held), "users", f"rows of {part} are of sessions that are not there", which)
        wrong = (round_ < 0) | (round_ > rounds + 1)
        checker.refuse(wrong, "lengths", f"rounds of {part} are not in 0..{rounds + 1}", which)
        if missing := np.setdiff1d(held, session).tolist():
            checker.fail("users", f"{len(missing):,} sessions of {part} are missing, first {missing[0]}")
        most = np.where(round_ == 0, np.iinfo(np.int64).max, np.where(round_ > rounds, 1, n_slots))
        checker.refuse((slot < 1) | (slot > most), "lengths", f"slots of {part} are too many", which)
        if checker.n_failed > before:
            return None
        order = np.lexsort((slot, round_, session))
        keys = np.stack([session, round_, slot])[:, order]
        twice = np.append(False, (keys[:, 1:] == keys[:, :-1]).all(axis=0))
        checker.refuse(twice, "duplicates", f"slots of {part} are told twice", lambda row: which(int(order[row])))
        if checker.n_failed > before:
            return None
        place = np.full(int(held.max()) + 1, -1, np.int64)
        place[held] = np.arange(len(held))
        script = np.full((2, len(held), rounds, n_slots), -1, np.int64)
        played = (round_ >= 1) & (round_ <= rounds)
        at = place[session[played]], round_[played] - 1, slot[played] - 1
        script[0][at], script[1][at] = kinds[played], node[played]
        replay = Replay(self._context, place, script[0], script[1])
        with torch.no_grad():
            again = evaluator.evaluate(replay)
        if replay.illegal:
            first = "session {}, round {}".format(*replay.illegal[0])
            what = f"rounds of {part} show what is not on the table, or was shown before"
            checker.fail("answers", f"{len(replay.illegal):,} {what}, first {first}")
            return None
        self._compare(rows, part, checker, (kinds, node, users, order), again)
        if checker.n_failed > before:
            return None
        self._check_ranks(rows, part, checker, again, place, (on_table, items, wanted), (kinds, node))
        return Looks((script[1] * len(KINDS) + script[0]).reshape(-1), 0.0)

    def _nodes(self, rows: ListTable, checker: Checker) -> tuple[IntArray, IntArray] | None:
        """Return kind and node of each row."""
        truth = self._truth
        names = rows.texts["kind"]
        kinds = names.rows(pd.Index(list(KINDS)))
        if (kinds < 0).any():
            checker.fail("ids", f"kinds are {', '.join(KINDS)}; got {shown(names.unknown(pd.Index(list(KINDS)))[0])}")
            return None
        items, texts = rows.texts["item_id"], rows.texts["text"]
        found = {ITEM: items.rows(truth.items), TERM: texts.rows(self._terms), FIELD: texts.rows(self._fields)}
        node = np.choose(kinds, [found[ITEM], found[TERM], found[FIELD]]).astype(np.int64)
        failed = checker.refuse(
            node < 0, "ids", "rows name no item, query or field of the track", lambda row: f"row {row}"
        )
        return None if failed else (kinds, node)

    def _compare(
        self,
        rows: ListTable,
        part: str,
        checker: Checker,
        read: tuple[IntArray, IntArray, IntArray, IntArray],
        again: InteractiveEvaluation,
    ) -> None:
        """Hold what was answered against what the simulated users answer."""
        kinds, node, users, order = read
        numbers, rounds = rows.numbers, self._protocol.cutoffs[-1]
        session, round_ = numbers["session"], numbers["round"]

        def which(row: int) -> str:
            return f"session {session[row]}, round {round_[row]}"

        of = again.users[np.searchsorted(again.numbers, session)]
        checker.refuse(users != of, "users", f"rows of {part} are of another user's session", which)
        on_table, items, wanted = self._evaluators[part].listed()
        begun = order[round_[order] == 0]
        theirs = np.lexsort((items, on_table))
        mine = begun[np.lexsort((node[begun], session[begun]))]
        whole = len(mine) == len(theirs) and np.array_equal(session[mine], on_table[theirs])
        if not (whole and np.array_equal(node[mine], items[theirs]) and (kinds[mine] == ITEM).all()):
            checker.fail("ids", f"the candidates of {part} are not those of the track")
        elif (numbers["wanted"][mine] != wanted[theirs]).any():
            checker.fail("labels", f"what is wanted in {part} is not what the data say")
        played = order[(round_[order] >= 1) & (round_[order] <= rounds)]
        script = again.transcript
        if len(played) != len(script.session) or (session[played] != script.session).any():
            extra = len(played) - len(script.session)
            checker.fail("lengths", f"sessions of {part} go on after they have ended ({extra:,} rows)")
            return
        for name, check in (("clicked", "answers"), ("wanted", "labels")):
            differs = numbers[name][played] != getattr(script, name)
            what = f"rows of {part} have another '{name}' than the simulated user gives"
            checker.refuse(differs, check, what, lambda row: which(int(played[row])))

    def _check_ranks(
        self,
        rows: ListTable,
        part: str,
        checker: Checker,
        again: InteractiveEvaluation,
        place: IntArray,
        listed: tuple[IntArray, IntArray, BoolArray],
        read: tuple[IntArray, IntArray],
    ) -> None:
        """Hold the told places of the first wanted item against what was still on the table."""
        (on_table, items, wanted), (kinds, node) = listed, read
        numbers, rounds = rows.numbers, self._protocol.cutoffs[-1]
        session, round_, rank = numbers["session"], numbers["round"], numbers["rank"]
        row, after = place[session], np.maximum(round_ - 1, 0)
        ranks, told = np.zeros((2, len(again.numbers), rounds + 1), np.int64)
        ranks[row, after], told[row, after] = rank, True
        uneven = ranks[row, after] != rank
        checker.refuse(uneven, "ranks", f"rows of {part} give two ranks at one time", lambda r: f"session {session[r]}")
        guess = np.flatnonzero(round_ == rounds + 1)
        of = row[guess]
        owed = np.flatnonzero(again.last_guess >= 0)
        if not np.array_equal(np.sort(of), owed):
            checker.fail("lengths", f"last guesses of {part} are not those of the sessions that found nothing")
            return
        key = session * self._truth.train.n_items + node
        shown_before = np.isin(key[guess], key[(round_ >= 1) & (round_ <= rounds) & (kinds == ITEM)])
        known = on_table * self._truth.train.n_items + items
        wrong = (kinds[guess] != ITEM) | shown_before
        if self._protocol.candidates.name == "sampled":
            wrong |= ~np.isin(key[guess], known)
        checker.refuse(
            wrong, "answers", f"last guesses of {part} are not on the table", lambda r: f"session {session[guess[r]]}"
        )
        right = np.isin(key[guess], known[wanted])
        for name in ("clicked", "wanted"):
            differs = numbers[name][guess] != right
            checker.refuse(differs, "answers", f"last guesses of {part} have another '{name}' than the truth")
        checker.refuse((rank[guess] == 1) != right, "ranks", f"last guesses of {part} contradict their rank")
        found = again.courses.found
        gone = np.zeros((2, *ranks.shape), np.int64)
        item = np.flatnonzero((round_ >= 1) & (round_ <= rounds) & (kinds == ITEM))
        np.add.at(gone[0], (row[item], round_[item]), 1)
        np.add.at(gone[1], (row[item], round_[item]), numbers["wanted"][item])
        left = again.courses.n_candidates[:, None] - gone[0].cumsum(axis=1)
        left_wanted = again.n_wanted[:, None] - gone[1].cumsum(axis=1)
        playing = ~((found[:, None] >= 0) & (found[:, None] < np.arange(rounds + 1)))
        highest = np.where(left_wanted > 0, left - left_wanted + 1, 0)
        impossible = playing & (told > 0) & ((ranks > highest) | (ranks < np.minimum(highest, 1)))
        checker.refuse(
            impossible.any(axis=1), "ranks", f"sessions of {part} give a rank that cannot be",
            lambda r: f"session {again.numbers[r]}",
        )  # fmt: skip
