"""What a pull request brings: entries that are new, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.documents import read_bytes
from mmrec_bench.leaderboard.findings import shown
from mmrec_bench.leaderboard.folder import digest_of_bytes
from mmrec_bench.leaderboard.lists import MAX_FILE
from mmrec_bench.leaderboard.record import RECORD
from mmrec_bench.leaderboard.submission import LISTS


@dataclass(frozen=True, slots=True)
class Contributions:
    """What is brought.

    Attributes:
        new: Folders of entries that are not there yet.
        problems: What must not be brought, each with its place and the reason.
    """

    new: tuple[Path, ...]
    problems: tuple[str, ...]


def contributions(incoming: Path, known: Path, outside: Collection[str] = ()) -> Contributions:
    """Compare folders of submissions: entries may be added, none changed or deleted, and records are not brought.

    Args:
        incoming: ``<track>/<entry>`` folders as somebody wants them to be: all of them.
        known: As they are.
        outside: Names of tracks whose lists stay outside git.

    Raises:
        ArtefactError: One of the two is no folder, or what comes in is a link to one.
    """
    if incoming.is_symlink():
        raise ArtefactError(f"{incoming}: is a link. Bring a folder of <track>/<entry>; no link is followed")
    for folder in (incoming, known):
        if not folder.is_dir():
            raise ArtefactError(f"{folder}: is no folder. Name one that holds submissions, <track>/<entry>")
    new: list[Path] = []
    problems = [
        f"{_name(folder, incoming)}: is empty; git knows no such folder but as a submodule"
        for folder in _empty(incoming)
        if folder != incoming
    ]
    brought, there = _entries(incoming, problems), _entries(known, [])
    for name, entry in brought.items():
        if name not in there:
            new.append(entry)
            if os.path.lexists(entry / RECORD):
                problems.append(f"{shown(name)}: brings a {RECORD}; maintainers write the records")
            if entry.parent.name in outside and os.path.lexists(entry / LISTS):
                problems.append(f"{shown(name)}: brings {LISTS}; lists of this track stay outside git. Take them away")
        elif _content(entry) != _content(there[name]):
            problems.append(
                f"{shown(name)}: differs from the entry that is there; entries never change. Submit a new one, and "
                "name it in an erratum"
            )
    problems += [
        f"{shown(name)}: is deleted; entries stay. Put it back, and say in an erratum what is wrong with it"
        for name in there
        if name not in brought
    ]
    if not new and not problems:
        problems.append("nothing is new: these are the entries that are there")  # nothing is verified, so nothing holds
    return Contributions(tuple(new), tuple(problems))


def _entries(root: Path, problems: list[str]) -> dict[str, Path]:
    """Return the folders of entries by ``<track>/<entry>``, and note what is none."""
    return {
        entry.relative_to(root).as_posix(): entry
        for track in _folders(root, root, problems)
        for entry in _folders(track, root, problems)
    }


def _folders(folder: Path, root: Path, problems: list[str]) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            problems.append(f"{_name(path, root)}: is no folder; there are <track>/<entry> folders, and nothing else")
        else:
            found.append(path)
    return found


def _empty(root: Path) -> list[Path]:
    return sorted(Path(parent) for parent, folders, files in os.walk(root) if not folders and not files)


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
