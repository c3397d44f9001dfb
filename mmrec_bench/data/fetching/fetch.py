"""Fetching: every file of a card from the first address that gives it, under a lock, checked, and renamed at last.

`requests` carries it. `pooch`, which fetches by name and digest, neither resumes nor tries mirrors, and needs digests
that publishers of reviews do not state.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import requests

from mmrec_bench.data.cards import DATA_VARIABLE, data_root
from mmrec_bench.data.downloads import Download, address_fault
from mmrec_bench.data.fetching.checks import check_whole, digest_of
from mmrec_bench.data.fetching.part import Part
from mmrec_bench.data.fetching.policy import Policy, Refusal, Watcher, unwatched
from mmrec_bench.data.fetching.record import Record, check_same, record_of, record_path
from mmrec_bench.data.fetching.request import new_session
from mmrec_bench.data.fetching.transfer import brought
from mmrec_bench.data.fetching.unpack import unpack, unpacked
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.errors import ConfigError, ConfigIssue, DataError, ResourceError

MIRROR_VARIABLE = "MMREC_BENCH_MIRROR"
"""Environment variable with an address of your own, which is asked first: ``<mirror>/<card>/<file>``."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is there, whole and checked.

    Attributes:
        path: Where it is.
        record: What was written down of it.
        was_there: Whether it was there before.
    """

    path: Path
    record: Record
    was_there: bool


def raw_folder(card: DatasetCard, data_dir: Path | None) -> Path:
    """Return where the files of a card go: where they are read, or below ``raw`` where data is built of them.

    Raises:
        DataError: There is no data directory, and the card is none of a user's own.
    """
    given = data_root(data_dir)
    root = card.folder if given is None else given
    if root is None:
        raise DataError(
            f"data set '{card.name}': nobody said where its files go. Give the folder that holds the data folders by "
            f"--data-dir, or in the environment variable {DATA_VARIABLE}; or the folder of the raw files by --raw"
        )
    if card.is_built:
        return root / "raw" / card.name
    return root if given is None else root / (card.folders or (card.name,))[0]


def fetch(
    card: DatasetCard,
    raw: Path,
    mirror: str | None = None,
    policy: Policy | None = None,
    watch: Watcher = unwatched,
) -> tuple[Fetched, ...]:
    """Fetch the files of a card that are not there yet.

    Args:
        card: The card.
        raw: Folder of the files; made where it is not there.
        mirror: An address that is asked first, for ``<mirror>/<card>/<file>``.
        policy: How patiently.
        watch: Who is told how far it is.

    Raises:
        ConfigError: The mirror is no address.
        DataError: The card names no files; a file is offered nowhere, or was changed since it was fetched.
        ResourceError: The disk has no room, or cannot be written.
    """
    if mirror is not None and (fault := address_fault(mirror)):
        raise ConfigError("mirror", [ConfigIssue("", f"{fault}; got {mirror[:120]!r}")])
    if card.embedded:
        raise DataError(f"data set '{card.name}': is made on the fly; there is nothing to fetch, use it as it is")
    if not card.downloads:
        sources = "; or ".join(card.sources) or "its publisher"
        raise DataError(f"data set '{card.name}': its card names no file to fetch. Get it by hand from {sources}")
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with new_session() as session:
            made = []
            for download in card.downloads:
                path = raw / download.file
                if path.exists() and (known := _unchanged(download, path)) and unpacked(download, raw):
                    made.append(Fetched(path, known, was_there=True))
                    continue
                first = () if mirror is None else (f"{mirror.rstrip('/')}/{card.name}/{download.file}",)
                with _locked(raw, download.file, watch):
                    made.append(_fetched(session, download, first, raw, policy or Policy(), watch))
                    unpack(download, raw)
            return tuple(made)
    except OSError as error:
        raise _disk_error(raw, error) from None


def _fetched(
    session: requests.Session, download: Download, first: Sequence[str], raw: Path, policy: Policy, watch: Watcher
) -> Fetched:
    path = raw / download.file
    if path.exists():  # another process brought it while this one waited, or somebody put it there
        return Fetched(path, _checked(download, path), was_there=True)
    part, known = Part(path.with_name(f"{path.name}.part")), record_of(path)
    refusals: list[str] = []
    for url in (*first, *(url for url in download.urls if url not in first)):
        try:
            digest = brought(session, url, download, part, policy, watch)
            if known is not None and download.sha256 is None and digest != known.sha256:
                part.drop()
                raise Refusal(
                    f"gives another file than the one fetched here before (sha256 {digest}, was {known.sha256}); if "
                    f"the new one is right, delete {record_path(path)}"
                )
        except Refusal as refusal:
            refusals.append(f"\n  {url}: {refusal}")
            continue
        record = Record.of(part.path, digest, url)
        record.write(path)
        part.path.replace(path)
        part.drop()
        return Fetched(path, record, was_there=False)
    kept = f" {part.n_bytes:,} bytes are kept in {part.path} for the next try." if part.n_bytes else ""
    raise DataError(
        f"{download.file} could not be fetched:{''.join(refusals)}\nRun the command again later, or get the file by "
        f"hand from {download.urls[0]} and put it as {path}.{kept}"
    )


def _checked(download: Download, path: Path) -> Record:
    """Return the record of a file that is there; one that somebody put there gets its first one.

    Raises:
        DataError: It is not the file of the card, not what was fetched, or broken.
    """
    if unchanged := _unchanged(download, path):
        return unchanged
    digest = digest_of(path)
    known = check_same(path, digest, download.sha256)
    if known is None:
        try:
            check_whole(download, path)
        except Refusal as refusal:
            raise DataError(f"{path}: is not the file that is wanted; it {refusal}. Delete it to fetch it") from None
    record = Record.of(path, digest, None if known is None else known.url)
    record.write(path)
    return record


def _unchanged(download: Download, path: Path) -> Record | None:
    """Return the record of a file that looks as it did when it was fetched; nothing is read or written."""
    known = record_of(path)
    if known is None or not known.is_of(path) or download.sha256 not in (None, known.sha256):
        return None
    return known


@contextmanager
def _locked(raw: Path, file: str, watch: Watcher) -> Iterator[None]:
    """Hold the lock of a file; while another process fetches it, wait."""
    lock = filelock.FileLock(raw / f".{file}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        watch(file, 0, None, "another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _disk_error(raw: Path, error: OSError) -> ResourceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{raw}: the disk is full; what came is kept. Make room, or give another folder by --raw")
    return ResourceError(f"{raw}: cannot be written or read: {error.strerror or error}. Give another folder by --raw")
