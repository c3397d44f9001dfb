"""Commands of result cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import FirstByDefault, out, print_rows
from mmrec_bench.experiments.artefact import RunArtefact, find_runs
from mmrec_bench.reports.cards.build import cards_of
from mmrec_bench.reports.cards.files import check_card, read_card, schema_text, write_cards
from mmrec_bench.reports.collect import collect

Runs = Annotated[list[Path], typer.Argument(help="Run folders, or folders above them.")]

app = typer.Typer(
    cls=FirstByDefault, help="Make result cards of runs (the default), or check one.", no_args_is_help=True
)


def write(report_dir: Path, runs: Sequence[tuple[str | None, RunArtefact]]) -> None:
    """Write the cards of all rows of a report beside it."""
    folder = report_dir / "cards"
    paths = write_cards(folder, cards_of(collect(runs)))
    out.print(f"cards: {folder} ({len(paths)})", highlight=False, markup=False)


@app.command()
def make(
    runs: Runs,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the cards.")] = Path("cards"),
    baseline: Annotated[
        list[str], typer.Option("--baseline", help="Test every row against this one; may be repeated.")
    ] = [],  # noqa: B006
) -> None:
    """Write the card of every row of runs: JSON, Markdown and HTML."""
    tables = collect([(None, run) for run in find_runs(runs)])
    cards = cards_of(tables, baseline)
    paths = write_cards(folder, cards)
    rows = [
        (card.label, card.dataset, str(len(card.seeds)), card.digest, str(path))
        for card, path in zip(cards, paths, strict=True)
    ]
    print_rows(("row", "data set", "n", "digest", "card"), rows, n_texts=5)


@app.command()
def verify(card: Annotated[Path, typer.Argument(help="The JSON of a card.")], runs: Runs) -> None:
    """Make a card again from run folders and compare; exit code 1 where anything differs."""
    found = check_card(read_card(card), find_runs(runs))
    if found:
        print_rows(("differs", "card", "runs"), found)
        raise typer.Exit(1)
    out.print(f"{card}: is what these runs make", highlight=False, markup=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of cards."""
    typer.echo(schema_text(), nl=False)
