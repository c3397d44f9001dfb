"""The transcript of one session, from a run folder alone: what lay on the table, was shown, and was answered."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mmrec_bench.errors import ArtefactError, ProtocolError
from mmrec_bench.experiments.artefact import PER_USER, RANKINGS, RunArtefact

COLUMNS = ("part", "session", "user_id", "round", "kind", "item_id", "text", "answer", "clicked", "wanted", "rank")
OUTCOMES = ("found", "last guess", "failed", "left")
"""How a session ends: an item is found, or by the last guess, or not; or the user leaves."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item on the table.

    Attributes:
        item_id: External id.
        text: Title, or words where there is none.
        wanted: Whether the user wants it.
    """

    item_id: str
    text: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that was shown.

    Attributes:
        kind: ``item``, ``query`` or ``field``.
        item_id: External id of an item.
        text: Title, words, or name of the field.
        answer: Words that were named of a field.
        clicked: The answer.
        wanted: What a user who answers the truth would say.
    """

    kind: str
    item_id: str | None
    text: str
    answer: str | None
    clicked: bool
    wanted: bool


@dataclass(frozen=True, slots=True)
class Round:
    """What was shown in one round.

    Attributes:
        number: From 1.
        first_wanted: Place of the first wanted item among the candidates left when it began; None where none was left.
        shown: Its slots, best first.
    """

    number: int
    first_wanted: int | None
    shown: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class SessionTranscript:
    """Everything a run folder knows of one session.

    Attributes:
        run: Folder, system, base, data set, protocol and simulated user of the run.
        part: ``valid`` or ``test``.
        session: Its number in this part.
        user_id: External id.
        wanted: What the user wants.
        candidates: What lay on the table; the wanted items alone where it was the full catalogue.
        rounds: What happened.
        last_guess: The item that was shown once more after the last round.
        outcome: One of `OUTCOMES`.
        metrics: Metrics of this session, unrounded.
    """

    run: Mapping[str, Any]
    part: str
    session: int
    user_id: str
    wanted: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    rounds: tuple[Round, ...]
    last_guess: Slot | None
    outcome: str
    metrics: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def session_list(run: RunArtefact, part: str | None = None) -> pd.DataFrame:
    """Return one row a session, longest first: ``part, session, user_id, n_truth, rounds, outcome, first_rank``.

    ``rounds`` counts those that were held, ``first_rank`` is where the first wanted item stood before the first.

    Raises:
        ArtefactError: The run is of another task, or lacks what a transcript needs.
    """
    table, script = run.per_user(), _script(run)
    keys = ["part", "session"]
    held = script[(script["round"] > 0) & (script["round"] <= _rounds(run))]
    rounds = held.groupby(keys, observed=True)["round"].max().rename("rounds")
    first = held[held["round"] == 1].groupby(keys, observed=True)["rank"].first().rename("first_rank")
    guessed = script[(script["round"] > _rounds(run)) & script["clicked"]][keys].assign(guessed=True)
    table = table.merge(rounds, on=keys).merge(first, on=keys).merge(guessed, on=keys, how="left")
    outcome = pd.Series("failed", table.index).mask(table["guessed"].notna(), "last guess")
    table["outcome"] = outcome.mask(table["left"] >= 0, "left").mask(table["found"] >= 0, "found")
    table = table if part is None else table[table["part"] == part]
    table = table.sort_values(["rounds", "first_rank", "part", "session"], ascending=[False, False, True, True])
    return table[["part", "session", "user_id", "n_truth", "rounds", "outcome", "first_rank"]].reset_index(drop=True)


def transcript_of(
    run: RunArtefact, user_id: str, part: str | None = None, session: int | None = None
) -> SessionTranscript:
    """Return the transcript of one session of a user, the first one by default.

    Raises:
        ArtefactError: The run is of another task, or lacks what a transcript needs.
        ProtocolError: The user has no such session.
    """
    sessions = session_list(run)
    chosen = _chosen(sessions, user_id, part, session)
    where, number = str(chosen["part"]), int(chosen["session"])
    script = _script(run)
    script = script[(script["part"] == where) & (script["session"] == number)].sort_values(["round", "slot"])
    scores = run.per_user()
    scores = scores[(scores["part"] == where) & (scores["session"] == number)]
    rounds = _rounds(run)
    columns = (script.loc[script["round"] == 0, name].tolist() for name in ("item_id", "text", "wanted"))
    on_table = tuple(Candidate(*row) for row in zip(*columns, strict=True))
    guesses = _slots(script[script["round"] > rounds])
    return SessionTranscript(
        run=_facts(run),
        part=where,
        session=number,
        user_id=user_id,
        wanted=tuple(item for item in on_table if item.wanted),
        candidates=on_table,
        rounds=tuple(
            Round(at, int(rows["rank"].iloc[0]) or None, _slots(rows))
            for at in range(1, rounds + 1)
            if len(rows := script[script["round"] == at])
        ),
        last_guess=guesses[0] if guesses else None,
        outcome=str(chosen["outcome"]),
        metrics={name: float(scores[name].iloc[0]) for name in run.metrics[where]},
    )


def _script(run: RunArtefact) -> pd.DataFrame:
    if (task := run.manifest["task"]) != "interactive":
        raise ArtefactError(
            f"{run.folder}: is a run of the task {task}; sessions are held by the interactive task alone"
        )
    script = run.rankings()
    if missing := [name for name in (*COLUMNS, "slot") if name not in script]:
        raise ArtefactError(
            f"{run.folder / RANKINGS}: lacks the columns {', '.join(missing)}, which tell of sessions. Other code made "
            "this run; run it again"
        )
    if missing := [name for name in ("session", "found", "left") if name not in run.per_user()]:
        raise ArtefactError(f"{run.folder / PER_USER}: lacks the columns {', '.join(missing)}. Run it again")
    return script


def _rounds(run: RunArtefact) -> int:
    return int(run.config()["protocol"]["cutoffs"][-1])


def _chosen(sessions: pd.DataFrame, user_id: str, part: str | None, session: int | None) -> pd.Series[Any]:
    """Return the row of the wanted session."""
    found = sessions[sessions["user_id"] == user_id].sort_values(["part", "session"])
    if found.empty:
        names = sorted(set(sessions["user_id"]))
        near = difflib.get_close_matches(user_id, names, 3, 0.0) if names else []
        raise ProtocolError(
            f"user '{user_id}' has no session in this run: not online, without a wanted item, or not in the data. "
            f"{len(names)} users have one, such as {', '.join(near)}; `mmrec-bench sessions list` lists them"
        )
    if part is not None and (found["part"] != part).all():
        raise ProtocolError(f"user '{user_id}' is online in {found['part'].iloc[0]}, not in {part}; leave --part out")
    found = found if part is None else found[found["part"] == part]
    if session is not None and session not in set(found["session"]):
        numbers = ", ".join(str(number) for number in found["session"])
        raise ProtocolError(f"session {session} is not one of user '{user_id}', whose sessions are: {numbers}")
    return found.iloc[0] if session is None else found[found["session"] == session].iloc[0]


def _slots(rows: pd.DataFrame) -> tuple[Slot, ...]:
    columns: Sequence[list[Any]] = [
        rows[name].tolist() for name in ("kind", "item_id", "text", "answer", "clicked", "wanted")
    ]
    return tuple(
        Slot(kind, None if kind != "item" else item, text, answer if isinstance(answer, str) else None, clicked, wanted)
        for kind, item, text, answer, clicked, wanted in zip(*columns, strict=True)
    )


def _facts(run: RunArtefact) -> dict[str, Any]:
    manifest, protocol = run.manifest, run.config()["protocol"]
    base = next((made for made in manifest.get("inputs", ()) if made["kind"] == "base"), {"model": "?", "seed": 0})
    return {
        "folder": str(run.folder),
        "system": manifest["model"],
        "base": {"model": base["model"], "seed": base["seed"]},
        "dataset": manifest["dataset"],
        "seed": manifest["seed"],
        "protocol_id": manifest["protocol_id"],
        "candidates": protocol["candidates"],
        "user": protocol["user"],
        "cutoffs": protocol["cutoffs"],
        "last_guess": protocol["last_guess"],
    }
