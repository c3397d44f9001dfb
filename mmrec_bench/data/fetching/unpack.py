"""Files of a fetched archive, laid beside it under names that the card gives, never the archive."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from mmrec_bench.data.downloads import Download
from mmrec_bench.data.fetching.checks import MAX_GROWTH
from mmrec_bench.errors import DataError


def unpacked(download: Download, raw: Path) -> bool:
    """Whether all files of an archive are beside it."""
    return all((raw / name).is_file() for name in download.unpack)


def unpack(download: Download, raw: Path) -> None:
    """Lay files of an archive beside it, each whole or not at all; those that are there in full size stay.

    Raises:
        DataError: The archive lacks one, holds two of a name, or unpacks to too much.
    """
    if not download.unpack:
        return
    path = raw / download.file
    try:
        with zipfile.ZipFile(path) as archive:
            for name in download.unpack:
                member = _member(archive, path, name)
                target = raw / name
                if target.is_file() and target.stat().st_size == member.file_size:
                    continue
                if member.file_size > MAX_GROWTH * path.stat().st_size:
                    raise DataError(f"{path}: {name} unpacks to more than {MAX_GROWTH} times the size of the archive")
                partial = raw / f".{name}.partial"
                with archive.open(member) as source, partial.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                partial.replace(target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}. Delete it to fetch it again") from None


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> zipfile.ZipInfo:
    found = [one for one in archive.infolist() if not one.is_dir() and PurePosixPath(one.filename).name == name]
    if len(found) != 1:
        told = "holds no file" if not found else f"holds {len(found)} files"
        raise DataError(f"{path}: {told} of the name {name}, which the card wants unpacked")
    return found[0]
