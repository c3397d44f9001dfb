"""What a reader must know of the lists behind a table of rankers: whose candidates they are, and who clicked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmrec_bench.reports.collect import Row


def ranking_facts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for each first stage and each click log of the rows, with their names."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for sentence in _of(row):
            found.setdefault(sentence, []).append(row.label)
    return [f"{sentence} ({', '.join(labels)})." for sentence, labels in found.items()]


def of_candidates(rows: Iterable[Row]) -> bool:
    """Whether lists are what a first stage has found; its split is then of interactions."""
    return any(_stage(row.runs[0].manifest) for row in rows)


def _of(row: Row) -> Iterator[str]:
    manifest = row.runs[0].manifest
    if stage := _stage(manifest):
        yield f"Lists are the {stage['n']} candidates of {stage['model']}, seed {stage['seed']}"
    if clicks := row.runs[0].config()["dataset"].get("clicks"):
        settings = in_words({name: value for name, value in clicks.items() if name != "model"})
        yield f"Training lists are clicked by {in_words(clicks['model'])}: {settings}"


def _stage(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((made for made in manifest.get("inputs", ()) if made["kind"] == "candidates"), None)


def in_words(value: Any) -> str:
    """Return a setting as in YAML, ``{name: pbm, severity: 1.0}`` as ``pbm (severity 1.0)``."""
    if not isinstance(value, Mapping):
        return str(value)
    told = {name: inner for name, inner in value.items() if name != "name" and inner is not None}
    others = ", ".join(f"{name} {in_words(inner)}" for name, inner in told.items())
    return f"{value['name']} ({others})" if "name" in value else others
