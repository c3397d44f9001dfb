"""Files of archives land beside them under names of the card."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import mmrec_bench.data.raw.files as raw_files
from mmrec_bench.data.fetching.fetch import fetch
from mmrec_bench.data.fetching.unpack import unpack
from mmrec_bench.errors import ConfigError, DataError
from tests.data.fetching.server import Answer, Server
from tests.data.fetching.test_fetch import card


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return content.getvalue()


def test_files_are_unpacked_once_and_again_when_lost(server: Server, tmp_path: Path) -> None:
    data = archive(**{"ml/u.data": b"1\t2\n", "../../evil": b"x", "ml/other": b"y"})
    made = card([server.at("/ml.zip", Answer(data))], file="ml.zip", unpack=["u.data"])
    fetch(made, tmp_path / "raw")
    assert (tmp_path / "raw" / "u.data").read_bytes() == b"1\t2\n"
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        ".ml.zip.lock",
        "ml.zip",
        "ml.zip.fetched.json",
        "u.data",
    }
    (tmp_path / "raw" / "u.data").unlink()
    fetch(made, tmp_path / "raw")
    assert (tmp_path / "raw" / "u.data").read_bytes() == b"1\t2\n"
    assert len(server.asked) == 1


def test_a_file_of_ones_own_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_bytes(b"mine")
    made = card([server.at("/ml.zip", Answer(archive(**{"u.data": b"theirs"})))], file="ml.zip", unpack=["u.data"])
    with pytest.raises(DataError, match=r"u\.data: is another file than that of ml\.zip"):
        fetch(made, tmp_path)
    assert (tmp_path / "u.data").read_bytes() == b"mine"


def test_a_member_by_a_name_that_leads_out_lands_inside(server: Server, tmp_path: Path) -> None:
    data = archive(**{"../../evil": b"x"})
    fetch(card([server.at("/ml.zip", Answer(data))], file="ml.zip", unpack=["evil"]), tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "evil").is_file()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(("members", "why"), [({"a": b""}, "no file"), ({"x/u": b"", "y/u": b""}, "2 files")])
def test_none_and_two_are_refused(server: Server, tmp_path: Path, members: dict[str, bytes], why: str) -> None:
    made = card([server.at("/ml.zip", Answer(archive(**members)))], file="ml.zip", unpack=["u"])
    with pytest.raises(DataError, match=f"holds {why} of the name u"):
        fetch(made, tmp_path)


def test_a_bomb_inside_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_files, "FREE", 1 << 20)
    data = archive(u=bytes(20_000_000))
    made = card([server.at("/ml.zip", Answer(data))], file="ml.zip", unpack=["u"])
    with pytest.raises(DataError, match="unpacks to more than 200 times"):
        fetch(made, tmp_path)
    (tmp_path / "ml.zip").write_bytes(data)
    with pytest.raises(DataError, match="unpacks to more than 200 times"):
        unpack(made.downloads[0], tmp_path)
    assert not (tmp_path / "u").exists()
    assert not (tmp_path / ".u.partial").exists()


def test_only_archives_are_unpacked() -> None:
    with pytest.raises(ConfigError, match="only files of a"):
        card(["https://example.org/a"], unpack=["u"])
