"""What a reader must know of the sessions behind a table, and their numbers beside the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmrec_bench.reports.collect import Estimate, Row
from mmrec_bench.reports.ranking_facts import in_words


def session_headline(names: Sequence[str], select_by: str) -> list[str]:
    """Return the metrics of sessions that a table shows: success and turns at all K, others at that of selection."""
    k = select_by.partition("@")[2]
    return [name for name in names if name.startswith(("success@", "turns@")) or name == f"mrr@{k}"]


def base_of(row: Row) -> tuple[str, int, str]:
    """Return model, seed and fingerprint of the base of a row."""
    made = next(made for made in row.runs[0].manifest["inputs"] if made["kind"] == "base")
    return str(made["model"]), int(made["seed"]), str(made["fingerprint"])


def session_facts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence each on candidates, users, words, sessions and bases."""
    manifest, protocol = rows[0].runs[0].manifest, rows[0].runs[0].config()["protocol"]
    facts = []
    if protocol["candidates"]["name"] == "sampled":
        facts.append("Candidates are sampled: numbers, and orders of systems, do not carry over to the full catalogue.")
    rounds, slots = protocol["cutoffs"][-1], protocol["slots"]
    last = "and a last guess after them" if protocol["last_guess"] else "without a last guess"
    facts.append(
        f"Sessions have {rounds} rounds of {slots} slot{'s' if slots > 1 else ''} {last}; a failure counts K + "
        f"{protocol['penalty']:g} turns."
    )
    facts.append(f"Simulated user: {in_words(protocol['user'])}.")
    facts.append(f"Sessions held: {'; '.join(_held(part, manifest['sessions'][part]) for part in ('valid', 'test'))}.")
    lexicon = manifest["lexicon"]
    facts.append(
        f"Queries are {in_words(protocol['queries'])}: {lexicon['words']:,} words and {lexicon['compound_queries']:,} "
        "compound queries."
    )
    facts += [f"{note[:1].upper()}{note[1:]}." for note in lexicon["notes"]]
    bases: dict[tuple[str, int, str], str] = {}
    for row in rows:
        made = next(made for made in row.runs[0].manifest["inputs"] if made["kind"] == "base")
        select_by = row.runs[0].config()["inputs"]["base"]["select_by"]
        bases.setdefault(base_of(row), f"{select_by} {made['metrics'][select_by]:.4f}")
    scores = (f"{model} (seed {seed}) {score}" for (model, seed, _), score in bases.items())
    return [*facts, f"Bases, retrieval on their validation part: {'; '.join(scores)}."]


def session_numbers(row: Row) -> list[tuple[str, str, Estimate | None]]:
    """Return part, name and value of what sessions tell beside the metrics: counts, and curves by round."""
    numbers: list[tuple[str, str, Estimate | None]] = []
    for part in ("valid", "test"):
        told = row.runs[0].manifest["sessions"][part]
        numbers += [(part, f"shown-{kind}", row.fact("sessions", part, "shown", kind)) for kind in told["shown"]]
        numbers += [
            (part, name.replace("_", "-"), row.fact("sessions", part, name))
            for name in ("held", "clicked_queries", "violations")
        ]
        numbers += [
            (part, f"{name.replace('_', '-')}-after-{number}", value)
            for name in told["curve"]
            for number, value in enumerate(curve(row, part, name))
        ]
    return numbers


def curve(row: Row, part: str, name: str) -> list[Estimate]:
    """Return a curve over 0, 1, ... rounds: ``found`` or ``first_rank``."""
    curves = [run.manifest["sessions"][part]["curve"][name] for run in row.runs]
    return [Estimate.of(values) for values in zip(*curves, strict=True)]


def _held(part: str, told: dict[str, Any]) -> str:
    without = f" ({told['without_wanted']:,} without a wanted candidate left out)" if told["without_wanted"] else ""
    return (
        f"{told['held']:,} in {part}, {told['candidates_per_session']:,.1f} candidates and "
        f"{told['wanted_per_session']:.2f} wanted each{without}"
    )
