"""The commands of the board: built, checked, and shown on this machine."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrec_bench.cli.app import app
from mmrec_bench.cli.board import server_of
from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.leaderboard.track import load_track
from tests.leaderboard.entries import entry_of, write


def call(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["leaderboard", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard")
    write(folder, entry_of(load_track("synthetic-retrieval"), "mine", 0.2))
    call("build", "--root", folder)
    return folder


def test_a_board_is_built_and_is_stale_once_an_entry_is_added(root: Path, tmp_path: Path) -> None:
    assert "up to date, 1 entry" in call("build", "--check", "--root", root)
    write(tmp_path, entry_of(load_track("synthetic-ctr"), "other", 0.6))
    assert "run `make leaderboard`" in call("build", "--check", "--root", tmp_path, code=1)
    assert not (tmp_path / "site").exists(), "a check writes nothing"
    assert "1 entry:" in call("build", "--root", tmp_path)
    write(tmp_path, entry_of(load_track("synthetic-ctr"), "another", 0.5))
    told = call("build", "--check", "--root", tmp_path, code=1)
    assert "LEADERBOARD.md: is not what the entries make" in told
    assert "another.html: is missing" in told


def test_folders_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is no folder"):
        call("build", "--root", tmp_path / "none")
    with pytest.raises(ArtefactError, match="leaderboard build --root"):
        call("serve", "--root", tmp_path)


@pytest.fixture
def port(root: Path) -> Iterator[int]:
    with server_of(root / "site", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_pages_are_served_to_this_machine_and_nothing_above_them(root: Path, port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/synthetic-retrieval/entries/mine.html") as found:
        assert found.read() == (root / "site" / "synthetic-retrieval" / "entries" / "mine.html").read_bytes()
    for path in ("/../LEADERBOARD.md", "/%2e%2e/LEADERBOARD.md", "//../LEADERBOARD.md"):
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", path)
        assert connection.getresponse().status == 404, path
        connection.close()
    with pytest.raises(ResourceError, match=f"cannot listen on port {port}"):
        call("serve", "--root", root, "--port", port)
