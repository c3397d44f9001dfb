"""What a pull request brings: entries that are new, and nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.documents import read_bytes
from mmrec_bench.leaderboard.findings import shown
from mmrec_bench.leaderboard.folder import digest_of_bytes
from mmrec_bench.leaderboard.lists import MAX_FILE
from mmrec_bench.leaderboard.record import RECORD


@dataclass(frozen=True, slots=True)
class Contributions:
    """What is brought.

    Attributes:
        new: Folders of entries that are not there yet.
        problems: What must not be brought, each with its place and the reason.
    """

    new: tuple[Path, ...]
    problems: tuple[str, ...]


def contributions(incoming: Path, known: Path) -> Contributions:
    """Compare folders of submissions: entries may be added, none changed, and records are not brought.

    Args:
        incoming: ``<track>/<entry>`` folders as somebody wants them to be.
        known: As they are. Entries that are not among the incoming are not looked at.
    """
    new: list[Path] = []
    problems: list[str] = []
    for track in _folders(incoming, incoming, problems):
        for entry in _folders(track, incoming, problems):
            place = known / track.name / entry.name
            if not place.exists():
                new.append(entry)
                if os.path.lexists(entry / RECORD):
                    problems.append(f"{_name(entry, incoming)}: brings a {RECORD}; maintainers write the records")
            elif _content(entry) != _content(place):
                problems.append(
                    f"{_name(entry, incoming)}: differs from the entry that is there; entries never change. Submit "
                    "a new one, and name it in an erratum"
                )
    return Contributions(tuple(new), tuple(problems))


def _folders(folder: Path, root: Path, problems: list[str]) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            problems.append(f"{_name(path, root)}: is no folder; there are <track>/<entry> folders, and nothing else")
        else:
            found.append(path)
    return found


def _content(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: digests of files by name, and what is no file."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            try:
                told = digest_of_bytes(read_bytes(path, MAX_FILE)) if name in files else str(path.is_symlink())
            except ArtefactError as error:
                told = str(error).removeprefix(str(path))
            found[path.relative_to(folder).as_posix()] = told
    return found


def _name(path: Path, root: Path) -> str:
    return shown(path.relative_to(root).as_posix())
