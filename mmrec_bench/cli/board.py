"""Commands of the board: build it, and show it."""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from mmrec_bench.cli.console import errors, out
from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.leaderboard.board import read_boards
from mmrec_bench.leaderboard.board_files import MARKDOWN, SITE, contents, foreign, stale, write
from mmrec_bench.leaderboard.track import load_tracks

Root = Annotated[Path, typer.Option("--root", help="Folder of the leaderboard, which holds submissions.")]
ROOT = Path("leaderboard")


def build(
    root: Root = ROOT,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where the board is not up to date.")
    ] = False,
) -> None:
    """Make LEADERBOARD.md and the site of what is verified."""
    if not root.is_dir():
        raise ArtefactError(f"{root}: is no folder. Name the folder of the leaderboard with --root")
    boards = read_boards(root / "submissions", load_tracks())
    files = contents(boards)
    count = sum(len(board.entries) for board in boards)
    told = f"{count} entr{'y' if count == 1 else 'ies'}"
    if not check:
        write(root, files)
        out.print(f"{told}: {root / MARKDOWN}, {root / SITE}", highlight=False, markup=False)
        return
    old, strange = stale(root, files), foreign(root, files)
    if found := [*strange, *old]:
        shown = [*found[:10], *([f"and {len(found) - 10} more"] if len(found) > 10 else [])]
        errors.print("\n".join(shown), highlight=False, markup=False)
        if old:
            errors.print("The board is stale: run `make leaderboard`", highlight=False, markup=False)
        raise typer.Exit(1)
    out.print(f"{root}: the board is up to date, {told}", highlight=False, markup=False)


def serve(
    root: Root = ROOT,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Show the site to a browser on this machine, until interrupted."""
    site = root / SITE
    if not (site / "index.html").is_file():
        raise ArtefactError(f"{site}: holds no site. Run `mmrec-bench leaderboard build --root {root}`")
    try:
        server = server_of(site, port)
    except OSError as error:
        raise ResourceError(f"cannot listen on port {port}: {error.strerror}. Choose another with --port") from None
    with server:
        out.print(f"http://127.0.0.1:{server.server_port}/", highlight=False, markup=False)
        server.serve_forever()


class _Pages(SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        """Send a file that lies in the folder; of folders their index, and nothing that a link leads to elsewhere."""
        try:
            page = Path(self.translate_path(self.path)).resolve()
            page = (page / "index.html").resolve() if page.is_dir() else page
            there = page.is_file() and page.is_relative_to(Path(self.directory).resolve())
        except (OSError, ValueError):  # no path of this machine: a zero byte, or a name that is too long
            there = False
        if there:
            return super().send_head()
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who serves to one browser needs no log."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away before it had its page."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server_of(site: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder that this machine alone can reach."""
    return _Server(("127.0.0.1", port), partial(_Pages, directory=str(site)))
