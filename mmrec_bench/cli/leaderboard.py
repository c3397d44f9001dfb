"""Commands of the leaderboard."""

from __future__ import annotations

import typer

from mmrec_bench.cli import board, bridges, rescoring, submissions
from mmrec_bench.cli.console import print_rows
from mmrec_bench.leaderboard.track import load_tracks

app = typer.Typer(help="Pack, verify and show submissions of ranked lists.", no_args_is_help=True)
app.command()(submissions.pack)
app.command()(submissions.verify)
app.command()(submissions.rerun)
app.command()(submissions.audit)
app.command()(bridges.formats)
app.command("import")(bridges.import_)
app.command()(bridges.export)
app.command()(bridges.score)
app.command()(rescoring.rescore)
app.command()(board.build)
app.command()(board.serve)


@app.callback()
def leaderboard() -> None:
    """Pack, verify and show submissions of ranked lists."""


@app.command()
def tracks() -> None:
    """List the tracks."""
    rows = [
        (track.name, track.task, track.dataset.card, track.headline[0], track.protocol.id)
        for track in load_tracks().values()
    ]
    print_rows(("track", "task", "data set", "ranked by", "protocol"), rows, n_texts=5)
