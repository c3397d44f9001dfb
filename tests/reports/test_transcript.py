"""Transcripts of sessions, from files that are written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError, ProtocolError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.sessions.text import lines_of
from mmrec_bench.reports.sessions.transcript import session_list, transcript_of

COLUMNS = [
    *("part", "session", "user_id", "round", "slot", "kind"),
    *("item_id", "text", "answer", "clicked", "wanted", "rank"),
]
SCRIPT = [
    ("test", 0, "ann", 0, 1, "item", "i1", "Tape", None, False, False, 2),
    ("test", 0, "ann", 0, 2, "item", "i2", "Glue", None, False, True, 2),
    ("test", 0, "ann", 1, 1, "query", None, "brand: 3M", None, False, True, 2),
    ("test", 0, "ann", 2, 1, "field", None, "brand", "3M, Uhu", True, True, 2),
    ("test", 0, "ann", 3, 1, "item", "i2", "Glue", None, True, True, 1),
    ("test", 1, "bob", 0, 1, "item", "i1", "Tape", None, False, True, 1),
    ("test", 1, "bob", 1, 1, "query", None, "brand: Uhu", None, True, False, 1),
    ("test", 1, "bob", 2, 1, "query", None, "brand: 3M", None, False, False, 3),
    ("test", 1, "bob", 3, 1, "item", "i2", "Glue", None, False, False, 2),
    ("test", 1, "bob", 4, 1, "item", "i1", "Tape", None, True, True, 1),
    ("test", 2, "bob", 0, 1, "item", "i1", "Tape", None, False, True, 1),
    ("test", 2, "bob", 1, 1, "item", "i1", "Tape", None, False, True, 1),
    ("test", 2, "bob", 2, 1, "item", "i2", "Glue", None, False, False, 0),
    ("test", 2, "bob", 3, 1, "query", None, "brand: 3M", None, False, False, 0),
    ("test", 2, "bob", 4, 1, "item", "i3", "Ink", None, False, False, 0),
    ("valid", 0, "cyd", 0, 1, "item", "i3", "Ink", None, False, True, 4),
    ("valid", 0, "cyd", 1, 1, "item", "i1", "Tape", None, False, False, 4),
    ("valid", 0, "cyd", 2, 1, "item", "i2", "Glue", None, False, False, 3),
]
SESSIONS = [
    ("test", 0, "ann", 1, 2, -1, 2.0),
    ("test", 1, "bob", 1, -1, -1, 3.0),
    ("test", 2, "bob", 1, -1, -1, 6.0),
    ("valid", 0, "cyd", 1, -1, 2, 6.0),
]


class MadeUp(RunArtefact):
    """A run in memory."""

    def config(self) -> dict[str, Any]:
        user = {"name": "noisy", "seed": 0}
        candidates = {"name": "sampled", "n": 30}
        return {"protocol": {"cutoffs": [2, 3], "user": user, "candidates": candidates, "last_guess": True}}

    def per_user(self, columns: object = None) -> pd.DataFrame:
        return pd.DataFrame(SESSIONS, columns=["part", "session", "user_id", "n_truth", "found", "left", "turns@3"])

    def rankings(self) -> pd.DataFrame:
        return pd.DataFrame(SCRIPT, columns=COLUMNS)


def made_up(kind: type[RunArtefact] = MadeUp, **facts: Any) -> RunArtefact:
    manifest = {
        "task": "interactive",
        "dataset": "shop",
        "model": "core on mf",
        "seed": 3,
        "protocol_id": "interactive/x",
        "inputs": [{"kind": "base", "model": "mf", "seed": 5}],
        **facts,
    }
    values = {"turns@3": 0.0}
    return kind(Path("somewhere"), manifest, {"valid": values, "test": values, "test_slices": {}})


def test_sessions_are_listed_with_how_they_ended_longest_and_hardest_first() -> None:
    table = session_list(made_up())
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        ("test", 0, "ann", 1, 3, "found", 2),
        ("test", 1, "bob", 1, 3, "last guess", 1),
        ("test", 2, "bob", 1, 3, "failed", 1),
        ("valid", 0, "cyd", 1, 2, "left", 4),
    ]
    assert set(session_list(made_up(), "valid")["user_id"]) == {"cyd"}


def text(user: str, session: int | None = None, *, list_candidates: bool = False) -> list[str]:
    told = transcript_of(made_up(), user, session=session)
    return [" ".join(line.split()) for line, _ in lines_of(told, list_candidates=list_candidates)]


def test_a_session_is_told_round_by_round() -> None:
    lines = text("ann")
    assert lines[0] == "core on mf on shop, seed 3: session 0 of ann"
    assert lines[1] == "test part; user: noisy (seed 0); base: mf (seed 5); protocol `interactive/x`"
    assert lines[3:5] == ["Wanted, 1 of 2 sampled candidates:", "i2 Glue"]
    assert "i1 Tape" not in lines
    start = lines.index("round first wanted answer shown")
    assert lines[start + 1 : start + 6] == [
        "1 place 2 no, overlooked query brand: 3M",
        "2 place 2 yes field brand = 3M, Uhu",
        "3 place 1 yes item i2 Glue",
        "",
        "Found in round 3.",
    ]
    assert lines[-2] == "turns 2 @3"
    assert "i1 Tape" in text("ann", list_candidates=True)


def test_a_catalogue_is_not_listed_as_if_the_wanted_were_all_of_it() -> None:
    class Full(MadeUp):
        def config(self) -> dict[str, Any]:
            found = super().config()
            return {"protocol": {**found["protocol"], "candidates": {"name": "full"}}}

    told = transcript_of(made_up(Full), "ann")
    lines = [line for line, _ in lines_of(told, list_candidates=True)]
    assert "Wanted, 1 item of the full catalogue:" in lines
    assert "All candidates:" not in lines


@pytest.mark.parametrize(
    ("user", "session", "parts"),
    [
        ("bob", None, ["1 place 1 yes, by mistake query brand: Uhu", "guess yes item i1 Tape",
                       "Not found in 3 rounds, but by the last guess after them."]),
        ("bob", 2, ["2 none left no item i2 Glue", "guess no item i3 Ink",
                    "Not found in 3 rounds, nor by the last guess."]),
        ("cyd", None, ["validation part; user: noisy (seed 0); base: mf (seed 5); protocol `interactive/x`",
                       "The user left after round 2."]),
    ],
)  # fmt: skip
def test_how_sessions_end(user: str, session: int | None, parts: list[str]) -> None:
    lines = text(user, session)
    for part in parts:
        assert part in lines


def test_the_export_holds_all_that_was_wanted_shown_and_answered() -> None:
    told = transcript_of(made_up(), "bob", session=1).as_json()
    assert told["outcome"] == "last guess"
    assert told["metrics"] == {"turns@3": 3.0}
    assert [item["item_id"] for item in told["candidates"]] == ["i1"]
    assert [round_["first_wanted"] for round_ in told["rounds"]] == [1, 3, 2]
    assert told["rounds"][0]["shown"] == (
        {"kind": "query", "item_id": None, "text": "brand: Uhu", "answer": None, "clicked": True, "wanted": False},
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"user_id": "anne"}, "user 'anne' has no session in this run.*3 users have one, such as ann, "),
        ({"user_id": "cyd", "part": "test"}, "user 'cyd' is online in valid, not in test; leave --part out"),
        ({"user_id": "bob", "session": 0}, "session 0 is not one of user 'bob', whose sessions are: 1, 2"),
    ],
)
def test_unknown_sessions(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        transcript_of(made_up(), **asked)


def test_runs_without_sessions() -> None:
    class Older(MadeUp):
        def rankings(self) -> pd.DataFrame:
            return super().rankings().drop(columns=["wanted", "answer"])

    with pytest.raises(ArtefactError, match=r"lacks the columns answer, wanted.*run it again"):
        transcript_of(made_up(Older), "ann")
    with pytest.raises(ArtefactError, match="is a run of the task retrieval"):
        session_list(made_up(task="retrieval"))
