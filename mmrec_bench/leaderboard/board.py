"""Boards: the entries of each track in order, read from what lies beside them and from nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError, MMRecBenchError
from mmrec_bench.leaderboard.documents import parse_object, read_bytes
from mmrec_bench.leaderboard.folder import digest_of_bytes
from mmrec_bench.leaderboard.record import RECOMPUTED, RECORD, RERUN, Measured, VerificationRecord, read_record
from mmrec_bench.leaderboard.submission import CARD, CONFIG, SUBMISSION, Submission
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.reports.cards.schema import ResultCard
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.settings import Document


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it lies in its folder.

    Attributes:
        submission: What it says of itself.
        record: What was found of it.
        card: Its result card.
    """

    submission: Submission
    record: VerificationRecord
    card: ResultCard

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.submission.entry

    @property
    def seeds_unchecked(self) -> bool:
        """Whether it has one seed by its own word alone: who verified it does not know its model, and nobody ran it."""
        unknown = any(check.name == "model" for check in self.record.flags)
        return self.submission.deterministic and unknown and self.record.status not in RERUN

    @property
    def can_rank(self) -> bool:
        """Whether it is known well enough for a rank: numbers recomputed, over seeds enough."""
        return self.record.status in RECOMPUTED and not self.record.provisional and not self.seeds_unchecked

    def test(self, metric: str) -> Measured | None:
        """Return a test metric; None where it has none."""
        return self.record.metrics.get("test", {}).get(metric)


@dataclass(frozen=True, slots=True)
class Board:
    """The entries of a track.

    Attributes:
        track: The track.
        entries: Entries that were not refused, best first by the test mean of the first headline metric, equals by
            name. Those whose numbers were recomputed come first: nobody stands above them by a claim.
        refused: Records of entries of which a check failed, by name.
        metric_versions: Newest version of each metric that judged an entry; where none was judged, that they claim.
        replaced: By which entry each is replaced that another of its authors stands in the place of; see `_replaces`.
    """

    track: Track
    entries: tuple[Entry, ...]
    refused: tuple[VerificationRecord, ...]
    metric_versions: Mapping[str, int]
    replaced: Mapping[str, str]

    @classmethod
    def of(cls, track: Track, found: Sequence[Entry | VerificationRecord]) -> Board:
        """Return the board of what lies in the folders of a track."""
        sign = 1 if lower_is_better(track.headline[:1]) else -1

        def place(entry: Entry) -> tuple[bool, bool, float, str]:
            found, claimed = entry.test(track.headline[0]), entry.record.status not in RECOMPUTED
            return claimed, found is None, 0.0 if found is None else sign * found.mean, entry.name

        listed = sorted((one for one in found if isinstance(one, Entry)), key=place)
        refused = sorted((one for one in found if not isinstance(one, Entry)), key=lambda record: record.entry)
        versions: dict[str, int] = {}
        for entry in [entry for entry in listed if not entry.record.form_only.value] or listed:
            for name, version in entry.record.metric_versions.items():
                versions[name] = max(version, versions.get(name, version))
        replaced = _replaced(listed, {entry.name for entry in listed if _may_rank(entry, track, versions)})
        return cls(track, tuple(listed), tuple(refused), dict(sorted(versions.items())), replaced)

    def ranks(self) -> dict[str, int]:
        """Return the rank of each entry within its tier; equal means share one.

        Ranked are entries whose numbers were recomputed by the newest metrics, over enough seeds, and that no other
        stands in the place of. The others stand at their place without one.
        """
        metric = self.track.headline[0]
        found: dict[str, int] = {}
        for tier in ("closed", "open"):
            ranked = [entry for entry in self.entries if entry.submission.tier == tier and self._is_ranked(entry)]
            means = [measured.mean for entry in ranked if (measured := entry.test(metric)) is not None]
            found |= {entry.name: means.index(mean) + 1 for entry, mean in zip(ranked, means, strict=True)}
        return found

    def marks(self, entry: Entry) -> list[str]:
        """Return what to know before an entry is read, each a key of `board_tables.MARKS`."""
        record = entry.record
        marks = {
            "replaced": entry.name in self.replaced,
            "provisional": record.provisional,
            "seeds unchecked": entry.seeds_unchecked,
            "flagged": bool(record.flags),
            "older metrics": _is_older(entry, self.metric_versions),
        }
        return [name for name, holds in marks.items() if holds]

    def titles(self) -> dict[str, str]:
        """Return what each entry is called: its title, with its name where it could be taken for another entry.

        That is where another has the same words, and where letters are not those of ASCII, which look like others. An
        entry in whose place another stands leaves the title to that one.
        """
        calls = {
            entry.name: {_words(entry.submission.title), _words(entry.name), _words(entry.submission.title, entry.name)}
            for entry in self.entries
        }
        taken = Counter(word for name, said in calls.items() if name not in self.replaced for word in said)

        def title(entry: Entry) -> str:
            told, own = entry.submission.title, int(entry.name not in self.replaced)
            return told if told.isascii() and taken[_words(told)] == own else f"{told} ({entry.name})"

        return {entry.name: title(entry) for entry in self.entries}

    def _is_ranked(self, entry: Entry) -> bool:
        return entry.name not in self.replaced and _may_rank(entry, self.track, self.metric_versions)


def _is_older(entry: Entry, versions: Mapping[str, int]) -> bool:
    """Return whether a newer version of a metric has judged other entries."""
    return any(version < versions.get(name, version) for name, version in entry.record.metric_versions.items())


def _may_rank(entry: Entry, track: Track, versions: Mapping[str, int]) -> bool:
    """Return whether an entry has a rank, unless another stands in its place."""
    return entry.can_rank and not _is_older(entry, versions) and entry.test(track.headline[0]) is not None


def _words(*texts: str) -> str:
    """Return the words of texts without what tells them apart poorly: case, blanks and marks between them."""
    return "".join(re.findall(r"[^\W_]+", " ".join(texts).lower()))


def _replaced(entries: Sequence[Entry], ranked: Collection[str]) -> dict[str, str]:
    """Return by whom each entry is replaced; `ranked` are the names of those that have a rank unless they are."""
    named = {entry.name: entry for entry in entries}
    claims = {
        entry.name: earlier.name
        for entry in entries
        if (earlier := named.get(entry.submission.replaces or "")) is not None and _replaces(entry, earlier, ranked)
    }
    return {earlier: later for later, earlier in claims.items() if not _comes_back(later, claims)}


def _comes_back(name: str, claims: Mapping[str, str]) -> bool:
    """Return whether an entry would stand in its own place by way of others, and so replaces nothing."""
    seen, earlier = {name}, claims.get(name)
    while earlier is not None and earlier not in seen:
        seen.add(earlier)
        earlier = claims.get(earlier)
    return earlier == name


def _replaces(entry: Entry, earlier: Entry, ranked: Collection[str]) -> bool:
    """Return whether an entry stands in the place of an earlier one that it names, and does not merely say so.

    It is of one of the authors and of the tier, and takes no rank away that it could not have, or that stands on more
    seeds.
    """
    mine, theirs = entry.submission, earlier.submission
    seeds_enough = mine.deterministic or len(mine.seeds) >= len(theirs.seeds)
    return (
        bool(set(mine.authors) & set(theirs.authors))
        and mine.tier == theirs.tier
        and (earlier.name not in ranked or (entry.name in ranked and seeds_enough))
    )


def read_boards(submissions: Path, tracks: Mapping[str, Track]) -> list[Board]:
    """Read the boards of all tracks.

    Args:
        submissions: Folder of ``<track>/<entry>/``; tracks without any entry have an empty board.
        tracks: Tracks by name.

    Raises:
        ArtefactError: Tells of all folders that are no entries, lack their record, or were changed since it was made.
    """
    found: dict[str, list[Entry | VerificationRecord]] = {name: [] for name in tracks}
    problems: list[str] = []
    for folder in _folders(submissions, tracks, problems):
        try:
            found[folder.parent.name].append(read_entry(folder))
        except MMRecBenchError as error:
            problems.append(str(error))
    if problems:
        raise ArtefactError("the board cannot be built:\n" + "\n".join(f"- {problem}" for problem in problems))
    return [Board.of(track, found[name]) for name, track in tracks.items()]


def read_entry(folder: Path) -> Entry | VerificationRecord:
    """Read an entry, or the record of one that was refused; lists are not looked at, for the record tells of them.

    Raises:
        ArtefactError: A file is missing, or is not the one that the record tells of.
        ConfigError: A file is not of its form.
    """
    if not (folder / RECORD).exists():
        raise ArtefactError(f"{folder}: has no {RECORD}. Run `mmrec-bench leaderboard verify {folder}`")
    record = read_record(folder / RECORD)
    if (record.track, record.entry) != (folder.parent.name, folder.name):
        raise ArtefactError(f"{folder}: holds {record.track}/{record.entry}. Move it to a folder of that name")
    if record.status == "refused":
        return record
    content = read_bytes(folder / SUBMISSION)
    if digest_of_bytes(content) != record.submission_digest:
        raise ArtefactError(
            f"{folder}: {SUBMISSION} was changed since {RECORD} was written. Run `mmrec-bench leaderboard verify "
            f"{folder}`"
        )
    submission = _parsed(folder / SUBMISSION, content).parse(Submission)
    for name in (CONFIG, CARD):
        content = read_bytes(folder / name)
        if digest_of_bytes(content) != submission.files[name].digest:
            raise ArtefactError(f"{folder}: {name} is not the one that {SUBMISSION} tells of. Put that one back")
    return Entry(submission, record, _parsed(folder / CARD, content).parse(ResultCard))


def _parsed(path: Path, content: bytes) -> Document:
    return Document(str(path), parse_object(content, path))


def _folders(submissions: Path, tracks: Mapping[str, Track], problems: list[str]) -> Iterator[Path]:
    """Yield the folders of all entries, sorted; a name that begins with a dot is none yet."""
    for parent in _inside(submissions, problems):
        if parent.name in tracks:
            yield from _inside(parent, problems)
        else:
            problems.append(f"{parent}: is named after no track; there are {', '.join(tracks)}. Move its entries")


def _inside(folder: Path, problems: list[str]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            if path.name != ".gitkeep":
                problems.append(f"{path}: is no folder, or a link to one. Take it away")
        elif not path.name.startswith("."):
            yield path
