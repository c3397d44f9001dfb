from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mmrec_bench.files import replace_file


def test_processes_that_write_one_file_leave_a_whole_one(tmp_path: Path) -> None:
    path, errors = tmp_path / "report.html", []
    contents = [bytes([number]) * 200_000 for number in range(4)]

    def write(content: bytes) -> None:
        try:
            for _ in range(20):
                replace_file(path, content)
                assert path.read_bytes() in contents
        except Exception as error:  # a thread tells nobody
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert path.read_bytes() in contents
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "kept").touch()
    with pytest.raises(OSError, match="irectory"):
        replace_file(folder, b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["report"]
