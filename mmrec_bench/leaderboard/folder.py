"""A submission's folder: what may lie in it, and that its files are those that were packed. No link is followed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError, ConfigError, MMRecBenchError, ResourceError
from mmrec_bench.files import replace_file
from mmrec_bench.leaderboard.documents import parse_object, read_bytes
from mmrec_bench.leaderboard.findings import MAX_TOLD, Findings, shown
from mmrec_bench.leaderboard.lists import MAX_FILE
from mmrec_bench.leaderboard.record import RECORD
from mmrec_bench.leaderboard.submission import CONFIG, LISTS, SUBMISSION, Submission
from mmrec_bench.settings import MAX_BYTES, Document

MAX_CONFIG = 64 << 10
"""Bytes of a config, which is slow to be parsed."""
MAX_ENTRIES = 1000
"""Files of a folder, beyond which it is not looked through."""


@dataclass(frozen=True, slots=True)
class SubmissionFolder:
    """A folder whose ``submission.json`` could be read.

    Attributes:
        path: The folder.
        submission: What it says of itself.
        digest: Digest of ``submission.json``.
        lists_there: Whether any file of lists is there.
    """

    path: Path
    submission: Submission
    digest: str
    lists_there: bool

    def read(self, name: str, findings: Findings) -> bytes | None:
        """Return a file's bytes where they are those that were packed, and note the difference where not."""
        try:
            limit = MAX_FILE if name.startswith(LISTS) else MAX_CONFIG if name == CONFIG else MAX_BYTES
            content = read_bytes(self.path / name, limit, self.path)
        except ArtefactError as error:
            findings.fail("digests", name, str(error).removeprefix(f"{self.path / name}: "))
            return None
        told = self.submission.files[name]
        if len(content) != told.bytes:
            findings.fail("digests", name, f"has {len(content):,} bytes; {SUBMISSION} says {told.bytes:,}")
            return None
        if (found := digest_of_bytes(content)) != told.digest:
            findings.fail("digests", name, f"was changed since it was packed: its digest is {found}, not {told.digest}")
            return None
        return content


def digest_of_bytes(content: bytes) -> str:
    """Return the digest of bytes, as submissions hold it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def open_folder(path: Path, findings: Findings) -> SubmissionFolder | None:
    """Look through a folder and read ``submission.json``.

    Args:
        path: The folder, ``<track>/<entry>``.
        findings: Is told all that is wrong.

    Returns:
        The folder, or None where there is no submission to be read.
    """
    if path.is_symlink() or not path.is_dir():
        findings.fail("folder", shown(path.name), "is no folder, or a link to one")
        return None
    if not os.path.lexists(path / SUBMISSION) and (held := _submissions_in(path)):
        told = f"is no submission, and holds {held:,}; name one of its folders, or give --all"
        findings.fail("folder", shown(path.name), told)
        return None
    names = _names(path, findings)
    try:
        content = read_bytes(path / SUBMISSION)
        submission = Document(SUBMISSION, parse_object(content, Path(SUBMISSION))).parse(Submission)
    except ConfigError as error:
        findings.fail_each("submission", SUBMISSION, map(str, error.issues))
        return None
    except MMRecBenchError as error:
        told = str(error).removeprefix(f"{path / SUBMISSION}: ").removeprefix(f"{SUBMISSION}: ")
        findings.fail("submission", SUBMISSION, told)
        return None
    others = sorted(names - {SUBMISSION, RECORD, *submission.expected_files})
    for name in others[:MAX_TOLD]:
        findings.fail("folder", shown(name), "is no file of this submission")
    if more := others[MAX_TOLD:]:
        findings.fail("folder", SUBMISSION, f"and {len(more):,} more files are none of this submission")
    whole = path.resolve()
    if whole.name != submission.entry:
        findings.fail("folder", SUBMISSION, f"entry is {submission.entry}, and the folder {shown(whole.name)}")
    if whole.parent.name != submission.track:
        told = f"track is {submission.track}, and the folder lies in {shown(whole.parent.name)}"
        findings.fail("folder", SUBMISSION, f"{told}; its place is {submission.track}/{submission.entry}")
    findings.passed("folder", f"{len(names - {RECORD})} files, no links")
    findings.passed("submission", f"{SUBMISSION} is of schema version {submission.schema_version}")
    there = bool(names & set(submission.list_files.values()))
    return SubmissionFolder(path, submission, digest_of_bytes(content), there)


def _submissions_in(path: Path) -> int:
    """Return how many folders in a folder hold a submission."""
    with os.scandir(path) as entries:
        folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sum(os.path.lexists(os.path.join(folder, SUBMISSION)) for folder in folders)


def _names(path: Path, findings: Findings) -> set[str]:
    """Return the names of all files, and note links and what is no file."""
    found: set[str] = set()
    for folder, prefix in ((path, ""), (path / LISTS, f"{LISTS}/")):
        if prefix and (folder.is_symlink() or not folder.is_dir()):
            continue
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                name = prefix + entry.name
                if count >= MAX_ENTRIES:
                    findings.fail("folder", shown(prefix or "."), f"holds more than {MAX_ENTRIES:,} files")
                    break
                if entry.is_symlink():
                    findings.fail("folder", shown(name), "is a link; only files that lie in the folder are read")
                elif entry.is_file(follow_symlinks=False):
                    found.add(name)
                elif name != LISTS or not entry.is_dir(follow_symlinks=False):
                    findings.fail("folder", shown(name), "is neither a file nor the folder of lists")
    return found


def write_record(folder: Path, text: str) -> Path:
    """Write the verification record: an old one stays whole until the new one is, and no link is followed.

    Raises:
        ResourceError: The folder cannot be written.
    """
    path = folder / RECORD
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}") from None
    return path
