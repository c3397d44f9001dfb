"""A transcript as lines of text that people read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from mmrec_bench.reports.parts import PARTS
from mmrec_bench.reports.ranking_facts import in_words
from mmrec_bench.reports.sessions.transcript import Candidate, Round, SessionTranscript, Slot

Line: TypeAlias = tuple[str, str]
"""Text, and a style of the terminal: empty, ``bold``, ``dim``, ``green`` or ``red``."""


def lines_of(told: SessionTranscript, *, list_candidates: bool = False) -> Iterator[Line]:
    """Yield the lines of a transcript.

    Args:
        told: The session.
        list_candidates: Whether all sampled candidates are listed, not the wanted ones alone.
    """
    run = told.run
    yield f"{run['system']} on {run['dataset']}, seed {run['seed']}: session {told.session} of {told.user_id}", "bold"
    user, base = in_words(run["user"]), f"{run['base']['model']} (seed {run['base']['seed']})"
    yield f"{PARTS[told.part]} part; user: {user}; base: {base}; protocol `{run['protocol_id']}`", "dim"
    yield "", ""
    yield f"Wanted, {_on_table(told)}:", ""
    yield from ((f"  {_item(slot)}", "") for slot in told.wanted)
    if list_candidates and run["candidates"]["name"] == "full":
        yield "The full catalogue is not kept; see the data set.", "dim"
    elif list_candidates:
        yield "All candidates:", ""
        yield from ((f"  {_item(slot)}", "green" if slot.wanted else "") for slot in told.candidates)
    yield "", ""
    yield "round  first wanted  answer            shown", "bold"
    for round_ in told.rounds:
        yield from _round(round_)
    if told.last_guess is not None:
        yield _shown("guess", "", told.last_guess)
    yield "", ""
    yield _ending(told)
    values: dict[str, list[str]] = {}
    for metric, value in told.metrics.items():
        name, _, k = metric.partition("@")
        values.setdefault(name, []).append(f"{value:.4g} @{k}")
    yield from ((f"{name:<10}  {', '.join(texts)}", "dim") for name, texts in values.items())
    if run["last_guess"]:
        yield "@K: had the session K rounds, and then the best item left as a last guess.", "dim"


def _on_table(told: SessionTranscript) -> str:
    if told.run["candidates"]["name"] == "full":
        return f"{len(told.wanted)} item{'' if len(told.wanted) == 1 else 's'} of the full catalogue"
    return f"{len(told.wanted)} of {len(told.candidates)} sampled candidates"


def _round(round_: Round) -> Iterator[Line]:
    place = "none left" if round_.first_wanted is None else f"place {round_.first_wanted}"
    for number, slot in enumerate(round_.shown):
        yield _shown("" if number else str(round_.number), "" if number else place, slot)


def _shown(round_: str, place: str, slot: Slot) -> Line:
    answer = "yes" if slot.clicked else "no"
    if slot.clicked != slot.wanted:
        answer += ", by mistake" if slot.clicked else ", overlooked"
    text = _item(slot) if slot.kind == "item" else slot.text
    text = f"{text} = {slot.answer}" if slot.answer else text
    style = "green" if slot.clicked else "" if slot.wanted == slot.clicked else "yellow"
    return f"{round_:>5}  {place:<12}  {answer:<16}  {slot.kind:<5}  {text}", style


def _item(slot: Slot | Candidate) -> str:
    return f"{slot.item_id}  {slot.text}".rstrip()


def _ending(told: SessionTranscript) -> Line:
    rounds = len(told.rounds)
    if told.outcome == "found":
        return f"Found in round {rounds}.", "green"
    if told.outcome == "left":
        return f"The user left after round {rounds}.", "red"
    if told.outcome == "last guess":
        return f"Not found in {rounds} rounds, but by the last guess after them.", "green"
    return f"Not found in {rounds} rounds" + (", nor by the last guess." if told.last_guess else "."), "red"
