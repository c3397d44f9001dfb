"""Archives: what goes in comes out, and what should not be in them is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.executors.packing import pack, pack_folder, unpack


def archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        opened.addfile(named("good"), io.BytesIO(b"1234"))
        for member in members:
            opened.addfile(member, io.BytesIO(b"1234") if member.isreg() else None)
    return buffer.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
    return member


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00\xff")
    (tmp_path / "b").write_bytes(b"")
    packed = pack({"x/y/a": tmp_path / "a", "b": tmp_path / "b"})
    assert packed == pack({"b": tmp_path / "b", "x/y/a": tmp_path / "a"})
    unpack(packed, tmp_path / "out")
    assert (tmp_path / "out" / "x" / "y" / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "out" / "b").read_bytes() == b""
    unpack(pack_folder(tmp_path, ["a"]), tmp_path / "again")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["a"]


@pytest.mark.parametrize(
    "member",
    [
        named("../outside"),
        named("/tmp/outside"),
        named("in/../../outside"),
        named("C:outside"),
        named("back\\slash"),
        named("good"),
        named("link", tarfile.SYMTYPE, "/etc/passwd"),
        named("link", tarfile.LNKTYPE, "good"),
        named("device", tarfile.CHRTYPE),
        named("folder", tarfile.DIRTYPE),
    ],
)
def test_nothing_but_plain_files_is_written(member: tarfile.TarInfo, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no regular file with a plain name"):
        unpack(archive(member), tmp_path / "in" / "here")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"good"}


def test_damaged_archives_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="damaged"):
        unpack(b"no archive" * 100, tmp_path)
    with pytest.raises(ArtefactError, match="damaged"):
        unpack(archive()[:514], tmp_path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        pack({"a": tmp_path / "none"})
