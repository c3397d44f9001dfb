"""Whether the bytes of a file are what its name, its card and its own check sums promise."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import IO

from mmrec_bench.data.downloads import Download
from mmrec_bench.data.fetching.policy import Refusal

BLOCK = 1 << 20
HEAD = 64
"""Bytes that tell a kind of file."""
SIGNATURES = {".gz": b"\x1f\x8b", ".zip": b"PK", ".parquet": b"PAR1", ".npy": b"\x93NUMPY"}
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
MAX_GROWTH = 300
"""Times its size to which an archive may unpack; texts of reviews grow three to tenfold."""


def check_head(name: str, head: bytes) -> None:
    """Refuse what begins as no file of that name does, such as a web page that says sorry with status 200.

    Raises:
        Refusal: It is a page, or lacks the first bytes of its kind.
    """
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES):
        raise Refusal("gives a web page, not the file")
    signature = SIGNATURES.get(Path(name).suffix)
    if signature is not None and not head.startswith(signature):
        raise Refusal(f"gives no {Path(name).suffix} file: it begins with {head[:8]!r}")


def digest_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_whole(download: Download, path: Path) -> str:
    """Check a whole file, and return its sha256.

    Where a card knows no digest, archives are read through: their own check sums find what was cut or changed.

    Raises:
        Refusal: It is not the file of the card, or is broken.
    """
    with path.open("rb") as file:
        check_head(download.file, file.read(HEAD))
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise Refusal("gives an empty file")
    if download.n_bytes not in (None, n_bytes):
        raise Refusal(f"gives {n_bytes:,} bytes; the card says {download.n_bytes:,}")
    digest = digest_of(path)
    if download.sha256 is not None:
        if digest != download.sha256:
            raise Refusal(f"gives another file: sha256 {digest}, the card says {download.sha256}")
    elif fault := _fault(download.file, path, n_bytes * MAX_GROWTH):
        raise Refusal(f"gives a broken file: {fault}")
    return digest


def _fault(name: str, path: Path, limit: int) -> str | None:
    """Return what is wrong inside an archive; other files have no check sums."""
    try:
        if name.endswith(".gz"):
            with gzip.open(path) as file:
                return _through(file, limit)
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > limit:
                    return f"it unpacks to more than {MAX_GROWTH} times its size"
                for member in archive.infolist():
                    with archive.open(member) as file:
                        if fault := _through(file, limit):
                            return fault
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        return str(error) or type(error).__name__
    return None


def _through(file: IO[bytes] | gzip.GzipFile, limit: int) -> str | None:
    read = 0
    while block := file.read(BLOCK):
        read += len(block)
        if read > limit:
            return f"it unpacks to more than {MAX_GROWTH} times its size"
    return None
