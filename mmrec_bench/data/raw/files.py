"""Raw files as streams of bytes: plain, gzip, or a member of a zip archive, within limits."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from mmrec_bench.errors import DataError

BLOCK = 1 << 20
"""Bytes read at a time."""

MAX_RATIO = 200
"""A packed file that becomes more than so many times as long is no data set: text of reviews packs 3 to 8 times."""

FREE = 1 << 28
"""Bytes that may always be unpacked, whatever the ratio."""


def check_unpacked(path: Path, n_unpacked: int, n_packed: int) -> None:
    """Refuse a packed file that becomes too long.

    Raises:
        DataError: It is a bomb.
    """
    if n_unpacked > unpacked_limit(n_packed):
        raise DataError(
            f"{path}: unpacks to more than {MAX_RATIO} times its size ({n_packed:,} bytes); this is no packed text. "
            "Get the file again from its publisher; if it is right, unpack it yourself"
        )


def unpacked_limit(n_packed: int) -> int:
    """Return the bytes that so many packed ones may become."""
    return max(FREE, MAX_RATIO * n_packed)


class CutShortError(DataError):
    """The packed data ends before its end, or is damaged; what came before was read."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file below the folder of raw files.

    Attributes:
        path: The file itself; of a member of an archive that of the archive.
        name: As the card names it.
        member: Name within a zip archive.
    """

    path: Path
    name: str
    member: str | None = None

    @classmethod
    def find(cls, folder: Path, name: str) -> RawFile:
        """Return the file of a name such as ``reviews.json.gz``, or ``ml-20m.zip/ml-20m/ratings.csv``.

        Members of archives are read where they are; nothing is ever unpacked to a place that an archive names.

        Raises:
            DataError: There is no such file, or the name leads out of the folder.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name:
            raise DataError(f"{name!r}: names of raw files are relative, and do not lead out of the folder by '..'")
        for length in range(1, len(parts) + 1):
            path = folder.joinpath(*parts[:length])
            if path.is_file():
                member = "/".join(parts[length:]) or None
                return cls(path, name, member)
        raise DataError(f"{folder / name}: no such file. Put it there, or correct its name under 'build' of the card")

    @property
    def kind(self) -> Literal["parquet", "gzip", "zip", "plain"]:
        """What the first bytes say of the file."""
        try:
            with self.path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise self._unreadable(error) from None
        if magic[:2] == b"\x1f\x8b":
            return "gzip"
        return "parquet" if magic == b"PAR1" else "zip" if magic == b"PK\x03\x04" else "plain"

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Return the digest of the file, or of the archive it is in."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._unreadable(error) from None

    def blocks(self) -> Iterator[bytes]:
        """Yield the unpacked content.

        Raises:
            CutShortError: Packed data that ends early or is damaged, after what could be unpacked.
            DataError: The file cannot be read, or is a bomb.
        """
        unpacked, n_bytes = 0, self.n_bytes
        with ExitStack() as stack:
            try:
                file = self._opened(stack)
                packed = self.member is not None or self.kind != "plain"
                while block := file.read1(BLOCK):  # `read` would lose what comes right before damage
                    unpacked += len(block)
                    if packed:
                        check_unpacked(self.path, unpacked, n_bytes)
                    yield block
            except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile) as error:
                raise CutShortError(
                    f"{self.path}: the packed data is damaged or cut short after {unpacked:,} bytes ({error}); "
                    "get it again"
                ) from None
            except OSError as error:
                raise self._unreadable(error) from None

    def _opened(self, stack: ExitStack) -> BufferedIOBase:
        if self.member is not None:
            return self._of_archive(stack)
        if self.kind == "zip":
            with zipfile.ZipFile(self.path) as archive:
                listed = _listed(archive)
            raise DataError(
                f"{self.path}: is a zip archive, of which one member is read; write it behind the name of the archive, "
                f"such as {self.name}/ratings.csv. It holds {listed}"
            )
        file = stack.enter_context(self.path.open("rb"))
        return gzip.GzipFile(fileobj=file) if self.kind == "gzip" else file

    def _of_archive(self, stack: ExitStack) -> BufferedIOBase:
        assert self.member is not None
        archive = stack.enter_context(zipfile.ZipFile(self.path))
        if self.member not in archive.namelist():
            raise DataError(f"{self.path}: has no member {self.member!r}; it holds {_listed(archive)}")
        try:
            return cast("BufferedIOBase", stack.enter_context(archive.open(self.member)))
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way that is not known
            raise DataError(f"{self.path}: {self.member!r} cannot be unpacked: {error}") from None

    def _unreadable(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be read: {error.strerror or error}")


def _listed(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    return ", ".join(repr(name[:80]) for name in names[:10]) + (f" and {len(names) - 10} more" * (len(names) > 10))
