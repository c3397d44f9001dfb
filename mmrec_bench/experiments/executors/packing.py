"""Files as bytes, for machines that share no disk: a plain tar archive, and an unpacking that trusts nothing in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mmrec_bench.errors import ArtefactError


def pack(files: Mapping[str, Path]) -> bytes:
    """Return an archive of regular files by the names they get; equal content gives equal bytes.

    Raises:
        ArtefactError: A file cannot be read.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(files.items()):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from None
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pack_folder(folder: Path, names: Iterable[str]) -> bytes:
    """Return an archive of these files of a folder."""
    return pack({name: folder / name for name in names})


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of an archive below a folder, which is made.

    Only regular files with plain relative names are written, each once: no links, no devices, nothing outside.

    Raises:
        ArtefactError: The archive is damaged, or holds anything else.
        OSError: A file cannot be written.
    """
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            for member in opened:
                source = opened.extractfile(member) if member.isreg() else None
                if source is None or not _plain(member.name) or member.name in seen:
                    raise ArtefactError(
                        f"an archive from another machine holds {member.name[:80]!r}, which is no regular file with a "
                        "plain name of its own; nothing of it is used"
                    )
                seen.add(member.name)
                place = folder / member.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(source.read())
    except (tarfile.TarError, EOFError) as error:
        raise ArtefactError(f"an archive from another machine is damaged: {error}") from None


def _plain(name: str) -> bool:
    """Return whether a name stays below the folder it is put in, on every system."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not set(name) & set("\\:\x00")
