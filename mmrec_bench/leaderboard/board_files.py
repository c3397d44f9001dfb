"""The board as files: made, written, and compared with those that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.leaderboard.board import Board
from mmrec_bench.leaderboard.board_tables import MARKS, STATUSES, TIERS, note_of, standing
from mmrec_bench.leaderboard.record import VerificationRecord
from mmrec_bench.leaderboard.site import GENERATOR, pages
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.markdown import plain
from mmrec_bench.reports.table import Table

MARKDOWN, SITE = "LEADERBOARD.md", "site"


def contents(boards: Sequence[Board]) -> dict[str, str]:
    """Return the text of all files of the board, by path relative to the root of the leaderboard."""
    return {MARKDOWN: markdown(boards)} | {f"{SITE}/{path}": text for path, text in pages(boards)}


def markdown(boards: Sequence[Board]) -> str:
    """Return the boards in Markdown; the site shows more."""
    parts = [
        "# Leaderboard\n",
        "Made by `mmrec-bench leaderboard build`; not to be edited. Pages to filter, sort and compare entries are in "
        "`site/`, and `mmrec-bench leaderboard serve` shows them.\n",
        *(_board(board) for board in boards),
        "## How to read a board\n",
    ]
    for title, found in (("Status", STATUSES), ("Marks", MARKS), ("Tiers", TIERS)):
        parts += [f"### {title}\n", "\n".join(f"- **{name}**: {text}." for name, text in found.items()) + "\n"]
    return "\n".join(parts)


def _board(board: Board) -> str:
    heading = f"## {plain(board.track.title)}\n"
    refused = [f"- Refused: {plain(record.entry)}: {_why(record)}\n" for record in board.refused]
    if not board.entries:
        return "\n".join([heading, f"No entry yet. {note_of(board)}\n", *refused])
    table = standing(board)
    links = [f"submissions/{board.track.name}/{entry.name}" for entry in board.entries]
    rows = []
    for (name, *cells), link in zip(table.cells(), links, strict=True):
        rows.append((f"[{_plain(name)}]({link})", *map(_plain, cells)))
    body = Table("", table.note, table.header, tuple(rows)).markdown().partition("\n\n")[2]
    return "\n".join([heading, body, *refused])


def _why(record: VerificationRecord) -> str:
    return "; ".join(plain(check.message) for check in record.failures)


def _plain(text: str) -> str:
    return plain(text).replace("\\|", "|")  # `Table.markdown` takes care of these itself


def write(root: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    """Write all files of the board, and take away pages of entries that are gone.

    Args:
        root: Root of the leaderboard.
        files: What `contents` returns.

    Returns:
        Paths of the files written.

    Raises:
        ArtefactError: The site, or something in it, is a link: nothing is written where it leads.
        ResourceError: The folder cannot be written.
    """
    if link := next((path for path in _inside(root) if path.is_symlink()), None):
        raise ArtefactError(f"{link}: is a link; pages are written where the board is. Take it away and build again")
    paths = write_all(root, files)
    try:
        for path in _gone(root, files):
            path.unlink()
    except OSError as error:
        raise ResourceError(f"cannot take away an old page of {root}: {error.strerror or error}") from None
    return paths


def stale(root: Path, files: Mapping[str, str]) -> list[str]:
    """Return in words in which files a board differs from what it should be; none where it is up to date."""
    found = []
    for name, text in files.items():
        path = root / name
        if not path.is_file():
            found.append(f"{path}: is missing")
        elif path.read_bytes() != text.encode():
            found.append(f"{path}: is not what the entries make")
    return [*found, *(f"{path}: is of an entry that is gone" for path in _gone(root, files))]


def foreign(root: Path, files: Mapping[str, str]) -> list[str]:
    """Return in words what lies in the site and no build has made: a build leaves it alone, and people take it away."""
    known = {root / name for name in files} | set(_gone(root, files))
    return [
        f"{str(path)!a}: was made by no build. Take it away"
        for path in _inside(root)
        if path not in known and (path.is_symlink() or not path.is_dir())
    ]


def _gone(root: Path, files: Mapping[str, str]) -> Iterator[Path]:
    """Yield pages of the site that are none any more; files that no build made are left alone."""
    for path in _inside(root):
        page = path.suffix == ".html" and path.is_file() and not path.is_symlink()
        if page and path.relative_to(root).as_posix() not in files and GENERATOR.encode() in path.read_bytes()[:2000]:
            yield path


def _inside(root: Path) -> list[Path]:
    """Return the folder of the site and all that is in it, sorted; what a link leads to is not."""
    site = root / SITE
    return [site, *([] if site.is_symlink() else sorted(site.rglob("*")))]
