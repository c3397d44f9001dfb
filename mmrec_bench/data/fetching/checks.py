"""Whether the bytes of a file are what its name, its card and its own check sums promise."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from mmrec_bench.data.downloads import Download
from mmrec_bench.data.fetching.policy import Refusal
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.errors import DataError

HEAD = 64
"""Bytes that tell a kind of file."""
SIGNATURES = {".gz": b"\x1f\x8b", ".zip": b"PK", ".parquet": b"PAR1", ".npy": b"\x93NUMPY"}
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")


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
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise Refusal("gives an empty file")
    with path.open("rb") as file:
        check_head(download.file, file.read(HEAD))
    if download.n_bytes not in (None, n_bytes):
        raise Refusal(f"gives {n_bytes:,} bytes; the card says {download.n_bytes:,}")
    digest = digest_of(path)
    if download.sha256 is not None:
        if digest != download.sha256:
            raise Refusal(f"gives another file: sha256 {digest}, the card says {download.sha256}")
    elif fault := _fault(download.file, path):
        raise Refusal(f"gives a broken file: {fault}")
    return digest


def _fault(name: str, path: Path) -> str | None:
    """Return what is wrong inside an archive, within the limits of its readers; other files have no check sums."""
    try:
        members: list[str | None] = [None]
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                members = [member.filename for member in archive.infolist() if not member.is_dir()]
        elif not name.endswith(".gz"):
            return None
        for member in members:
            for _ in RawFile(path, name, member).blocks():
                pass
    except (DataError, zipfile.BadZipFile) as error:
        return str(error).removeprefix(f"{path}: ")
    return None
