"""The commands of the board: built, checked, and shown on this machine."""

from __future__ import annotations

import shutil
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


def test_what_no_build_has_made_is_told(root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(root, tmp_path / "copy")
    for name in ("evil.html", "script.js", ".index.html.partial", "\n::error::told"):
        (root / "site" / name).write_text("<script>alert(1)</script>", encoding="utf-8")
    (root / "site" / "pages").symlink_to(root)
    told = call("build", "--check", "--root", root, code=1)
    for name in ("evil.html", "script.js", ".index.html.partial", "pages"):
        assert f"'{root / 'site' / name}': was made by no build. Take it away" in told
    assert "/site/\\n::error::told': was made by no build" in told
    assert "stale" not in told, "a build would not mend it"


@pytest.mark.parametrize("name", ["site", "site/synthetic-retrieval", "site/.index.html.partial"])
def test_no_page_is_written_through_a_link(root: Path, tmp_path: Path, name: str) -> None:
    copy, outside = tmp_path / "copy", tmp_path / "outside"
    shutil.copytree(root / "submissions", copy / "submissions")
    outside.mkdir()
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).symlink_to(outside / "page" if name.endswith("partial") else outside)
    with pytest.raises(ArtefactError, match="is a link; pages are written where the board is"):
        call("build", "--root", copy)
    assert list(outside.iterdir()) == []
    assert "was made by no build" in call("build", "--check", "--root", copy, code=1)


def test_the_table_is_not_written_through_a_link(root: Path, tmp_path: Path) -> None:
    copy, outside = tmp_path / "copy", tmp_path / "outside"
    shutil.copytree(root / "submissions", copy / "submissions")
    outside.write_text("theirs", encoding="utf-8")
    for name in ("LEADERBOARD.md", ".LEADERBOARD.md.partial"):
        (copy / name).symlink_to(outside)
    call("build", "--root", copy)
    assert outside.read_text(encoding="utf-8") == "theirs"
    assert (copy / "LEADERBOARD.md").read_bytes() == (root / "LEADERBOARD.md").read_bytes()


@contextmanager
def serving(site: Path) -> Iterator[int]:
    with server_of(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def status_of(port: int, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_pages_are_served_to_this_machine_and_nothing_above_them(root: Path) -> None:
    with serving(root / "site") as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/synthetic-retrieval/entries/mine.html") as found:
            assert found.read() == (root / "site" / "synthetic-retrieval" / "entries" / "mine.html").read_bytes()
        for path in ("/", "/synthetic-retrieval/", "/synthetic-retrieval"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as found:
                assert b"mmrec-bench leaderboard" in found.read()
        for path in ("/../LEADERBOARD.md", "/%2e%2e/LEADERBOARD.md", "//../LEADERBOARD.md"):
            assert status_of(port, path) == 404, path
        with pytest.raises(ResourceError, match=f"cannot listen on port {port}"):
            call("serve", "--root", root, "--port", port)


def test_what_is_no_page_of_the_site_is_not_found(root: Path, tmp_path: Path) -> None:
    site = shutil.copytree(root / "site", tmp_path / "site")
    (site / "away.html").symlink_to(root / "LEADERBOARD.md")
    (site / "up").symlink_to(root)
    (site / "folder").mkdir()
    (site / "folder" / "index.html").symlink_to(root / "LEADERBOARD.md")
    (site / "empty").mkdir()
    with serving(site) as port:
        long = f"/{'x' * 5000}"
        for path in ("/%00", "/%ED%A0%80", long, "/away.html", "/up/LEADERBOARD.md", "/folder/", "/empty/"):
            assert status_of(port, path) == 404, path
        assert status_of(port, "/index.html") == 200


def test_a_browser_that_goes_away_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.html").write_bytes(bytes(1 << 25))  # more than a socket takes at once
    with serving(tmp_path) as port:
        with closing(socket.create_connection(("127.0.0.1", port))) as browser:
            # Closed so, a socket resets its connection.
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            browser.sendall(b"GET / HTTP/1.0\r\n\r\n")
            browser.recv(1 << 10)
        assert status_of(port, "/") == 200
    assert capfd.readouterr().err == ""
