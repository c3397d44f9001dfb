"""Files of a fetched archive, laid beside it under names that the card gives, never the archive."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from mmrec_bench.data.downloads import Download
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.errors import DataError


def unpacked(download: Download, raw: Path) -> bool:
    """Whether all files of an archive are beside it."""
    return all((raw / name).is_file() for name in download.unpack)


def unpack(download: Download, raw: Path) -> None:
    """Lay files of an archive beside it, each whole or not at all; those that are there stay.

    Raises:
        DataError: The archive lacks one, holds two of a name, or unpacks to too much; another file is in the way.
    """
    if not download.unpack:
        return
    path = raw / download.file
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: _member(archive, path, name) for name in download.unpack}
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: cannot be unpacked: {error}. Delete it to fetch it again") from None
    for name, member in members.items():
        target, partial = raw / name, raw / f".{name}.partial"
        if target.is_file() and target.stat().st_size != member.file_size:
            raise DataError(
                f"{target}: is another file than that of {download.file}. Delete it to have it unpacked again"
            )
        if target.is_file():
            continue
        try:
            with partial.open("wb") as file:
                for block in RawFile(path, download.file, member.filename).blocks():
                    file.write(block)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> zipfile.ZipInfo:
    found = [one for one in archive.infolist() if not one.is_dir() and PurePosixPath(one.filename).name == name]
    if len(found) != 1:
        told = "holds no file" if not found else f"holds {len(found)} files"
        raise DataError(f"{path}: {told} of the name {name}, which the card wants unpacked")
    return found[0]
