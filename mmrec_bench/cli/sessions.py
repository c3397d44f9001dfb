"""Commands that tell what happened in sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmrec_bench.cli.console import out, print_rows, print_written
from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.sessions.text import lines_of
from mmrec_bench.reports.sessions.transcript import session_list, transcript_of

app = typer.Typer(help="Tell what happened in the sessions of an interactive run.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(help="The folder of a run of the interactive task.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all of it to this file, too.")]


@app.command("show")
def show(
    run: Run,
    user: Annotated[str, typer.Option("--user", help="Id of the user.")],
    part: Annotated[
        Literal["valid", "test"] | None, typer.Option(help="Part; the user is online in one alone.")
    ] = None,
    session: Annotated[int | None, typer.Option(help="Its number, where the user has several; the first one.")] = None,
    candidates: Annotated[bool, typer.Option("--candidates", help="List all sampled candidates.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Show one session: what was wanted, shown and answered in each round, and how it ended."""
    told = transcript_of(RunArtefact.load(run), user, part, session)
    for line, style in lines_of(told, list_candidates=candidates):
        out.print(line, style=style, highlight=False, markup=False)
    if json_file is not None:
        _write(json_file, json.dumps(told.as_json(), indent=2, ensure_ascii=False))


@app.command("list")
def list_sessions(
    run: Run,
    part: Annotated[Literal["valid", "test"], typer.Option(help="Part of the split.")] = "test",
    outcome: Annotated[
        Literal["found", "last-guess", "failed", "left"] | None, typer.Option(help="Those that ended so alone.")
    ] = None,
    shortest: Annotated[bool, typer.Option("--shortest", help="Shortest first, not longest.")] = False,
    n: Annotated[int, typer.Option("-n", min=1, help="Lines, at most.")] = 20,
    json_file: JsonFile = None,
) -> None:
    """List sessions by length, to find those worth showing."""
    found = session_list(RunArtefact.load(run), part)
    if outcome is not None:
        found = found[found["outcome"] == outcome.replace("-", " ")]
    found = found.iloc[::-1] if shortest else found
    rows = [tuple(str(value) for value in row) for row in found.head(n).itertuples(index=False)]
    print_rows(("part", "session", "user", "wanted", "rounds", "outcome", "first wanted at"), rows)
    out.print(f"{min(n, len(found))} of {len(found)} sessions", style="dim", highlight=False)
    if json_file is not None:
        _write(json_file, found.to_json(orient="records", indent=2))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}. Name another file with --json") from None
    print_written([path])
