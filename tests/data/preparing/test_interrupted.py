"""Preparing that is interrupted, killed, or short of disk leaves nothing that is taken for a data set."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.cards import load_dataset
from mmrec_bench.data.preparing import prepare as preparing
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.errors import DataError, ResourceError
from tests.data.preparing.small import BUILD, card_of, files, left_behind, metadata, write


@pytest.mark.parametrize("where", ["write_interactions", "_write_card", "_move"])
@pytest.mark.parametrize(
    ("error", "seen", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError, "the disk is full"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (MemoryError(), MemoryError, None),
    ],
)
def test_nothing_is_left_of_what_was_interrupted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: BaseException,
    seen: type[BaseException],
    message: str | None,
) -> None:
    def fail(*_: object) -> None:
        raise error

    raw = write(tmp_path / "raw")
    with monkeypatch.context() as patched:
        patched.setattr(preparing, where, fail)
        with pytest.raises(seen, match=message):
            prepare(card_of(), raw, tmp_path / "data")
    assert left_behind(tmp_path / "data") == []
    with pytest.raises(DataError, match="not found"):
        load_dataset(card_of(), tmp_path / "data")
    assert not prepare(card_of(), raw, tmp_path / "data").was_there


def test_what_a_killed_process_left_is_taken_for_nothing(tmp_path: Path) -> None:
    raw, data = write(tmp_path / "raw"), tmp_path / "data"
    whole = prepare(card_of(), raw, tmp_path / "other").folder
    half = data / ".partial" / "tiny"
    half.mkdir(parents=True)
    for name in ("interactions.parquet", "junk.bin"):
        (half / name).write_bytes(b"half")
    (data / ".partial" / "tiny.work").mkdir()
    with pytest.raises(DataError, match="not found"):
        load_dataset(card_of(), data)
    assert files(prepare(card_of(), raw, data).folder) == files(whole)
    assert left_behind(data) == sorted(["tiny", *files(whole)])


def test_two_processes_never_make_the_same(tmp_path: Path) -> None:
    import filelock

    raw, data = write(tmp_path / "raw"), tmp_path / "data"
    (data / ".partial").mkdir(parents=True)
    with (
        filelock.FileLock(data / ".partial" / "tiny.lock"),
        pytest.raises(ResourceError, match="another process is preparing 'tiny'"),
    ):
        prepare(card_of(), raw, data)


def test_a_full_disk_under_duckdb_is_told(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw")
    read_only = tmp_path / "file"
    read_only.write_text("no folder")
    with pytest.raises(ResourceError, match="cannot write"):
        prepare(card_of(), raw, tmp_path / "data", Means(temp=read_only))
    assert left_behind(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("size", "message"), [("256k", "the disk is full"), ("500k", "the disk is full"), ("64m", None)]
)
def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path: Path, size: str, message: str | None) -> None:
    """On a file system of that size: under duckdb, under what is written, and with room enough."""
    disk, work = tmp_path / "disk", tmp_path / "work"
    disk.mkdir()
    work.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a small file system can only be made by root")
    try:
        raw = write(tmp_path / "raw")
        vectors = np.ones(4096, "<f4").tobytes()
        (raw / "i.b").write_bytes(b"".join(f"{row['asin']:10}".encode() + vectors for row in metadata()))
        build = {key: value for key, value in BUILD.items() if key != "k_core"} | {"image_features": "i.b"}
        means = Means(256, 1, None if size == "256k" else work)
        if message is None:
            assert prepare(card_of(build), raw, disk, means).built.missing["image"] > 0
            return
        with pytest.raises(ResourceError, match=message):
            prepare(card_of(build), raw, disk, means)
        assert left_behind(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_data_sets_of_one_name_may_share_the_place_of_working_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below two data folders, at once: neither takes the other's away."""
    raw, made = write(tmp_path / "raw"), preparing._build
    means, others = Means(temp=tmp_path / "temp"), []

    def meanwhile(*told: Any) -> Any:
        monkeypatch.setattr(preparing, "_build", made)
        others.append(prepare(card_of(), raw, tmp_path / "other", means))
        assert told[4].is_dir()
        return made(*told)

    monkeypatch.setattr(preparing, "_build", meanwhile)
    first = prepare(card_of(), raw, tmp_path / "data", means)
    assert files(first.folder) == files(others[0].folder)
    assert list((tmp_path / "temp").iterdir()) == []
