"""Pictures from servers that misbehave: few questions at a time, each once, whatever failed written down."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.data.fetching.picture_list import failures
from mmrec_bench.data.fetching.pictures import FetchedPictures, Manners, fetch_pictures, suffix_of
from mmrec_bench.data.fetching.policy import Policy
from mmrec_bench.errors import DataError
from tests.data.fetching.server import Answer, Server

JPEG = b"\xff\xd8\xff\xe0" + b"j" * 500
PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 500


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.slept.append(seconds)


def fetched(
    wanted: Mapping[str, str],
    folder: Path,
    clock: Clock | None = None,
    *,
    again: bool = False,
    max_bytes: int = 1 << 20,
    **told: Any,
) -> FetchedPictures:
    clock = clock or Clock()
    policy = Policy(attempts=3, timeout=5.0, max_bytes=max_bytes, sleep=clock.sleep)
    manners = Manners(**{"per_host": 1, "policy": policy, "clock": lambda: clock.now, **told})
    return fetch_pictures({item: (item, url) for item, url in wanted.items()}, folder, manners, again=again)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_pictures_come_once_and_failures_are_written_down(server: Server, tmp_path: Path) -> None:
    wanted = {
        "a": server.at("/a.jpg", Answer(JPEG)),
        "b": server.at("/b", Answer(PNG)),
        "same-as-a": server.url + "/a.jpg",
        "gone": server.at("/gone.jpg", Answer(status=404)),
        "page": server.at("/page.jpg", Answer(b"<html>", headers={"Content-Type": "text/html"})),
        "empty": server.at("/empty.jpg", Answer(b"")),
        "bad": "ftp://shop/x.jpg",
        "home": "http://192.168.0.1/x.jpg",
    }
    told: list[tuple[int, int]] = []
    found = fetch_pictures(
        {item: (item, url) for item, url in wanted.items()}, tmp_path, Manners(rate=1e6), lambda *at: told.append(at)
    )
    assert (found.n_there, found.n_fetched) == (0, 3)
    assert found.failed == {
        "gone": "answers 404 Not Found",
        "page": "gives no picture (text/html)",
        "empty": "gives an empty file",
        "bad": "is no address",
        "home": "leads into a private network",
    }
    assert names(tmp_path) == ["a.jpg", "b.png", "fetched.json", "same-as-a.jpg"]
    assert (tmp_path / "same-as-a.jpg").read_bytes() == JPEG
    assert [path for path, _ in server.asked].count("/a.jpg") == 1
    assert all(headers["User-Agent"].startswith("mmrec-bench/") for _, headers in server.asked)
    assert told[-1] == (6, 6)
    assert failures(tmp_path) == found.failed
    n_asked = len(server.asked)
    second = fetched(wanted, tmp_path)
    assert (second.n_there, second.n_fetched) == (3, 0)
    assert second.failed == found.failed
    assert len(server.asked) == n_asked, "what is there, and what was refused for good, is not asked for again"
    server.at("/gone.jpg", Answer(JPEG))
    assert "gone" not in fetched(wanted, tmp_path, again=True).failed
    assert "gone.jpg" in names(tmp_path)


def test_troubles_that_pass_are_waited_for(server: Server, tmp_path: Path) -> None:
    wanted = {
        "busy": server.at("/busy", Answer(status=429, headers={"Retry-After": "7"}), Answer(JPEG)),
        "cut": server.at("/cut", Answer(JPEG, cut=50), Answer(JPEG, says=900), Answer(JPEG)),
        "down": server.at("/down", Answer(status=503)),
    }
    clock = Clock()
    found = fetched(wanted, tmp_path, clock)
    assert found.failed == {"down": "answers 503 Service Unavailable"}
    assert names(tmp_path) == ["busy.jpg", "cut.jpg", "fetched.json"]
    assert max(clock.slept) == 7
    assert [path for path, _ in server.asked].count("/down") == 3
    server.at("/down", Answer(PNG))
    assert fetched(wanted, tmp_path).failed == {}, "what may pass is asked for again the next time"
    assert json.loads((tmp_path / "fetched.json").read_text())["failed"] == {}


def test_a_host_is_not_asked_faster_than_the_rate(server: Server, tmp_path: Path) -> None:
    wanted = {f"i{i}": server.at(f"/{i}", Answer(JPEG)) for i in range(20)}
    clock = Clock()
    assert fetched(wanted, tmp_path, clock, rate=4.0).n_fetched == 20
    assert clock.now == pytest.approx(19 / 4.0)


def test_a_dead_host_is_left_alone(server: Server, tmp_path: Path) -> None:
    wanted = {f"i{i:02d}": server.at(f"/{i}", Answer(status=500)) for i in range(30)}
    found = fetched(wanted, tmp_path, give_up_after=4)
    assert found.reasons() == {"answers 500 Internal Server Error": 4, "the host gives no answer": 26}
    assert len(server.asked) == 12


def test_too_large_pictures_and_bad_redirects_are_refused(server: Server, tmp_path: Path) -> None:
    wanted = {
        "large": server.at("/large", Answer(JPEG * 1000, chunked=True)),
        "file": server.at("/file", Answer(status=302, headers={"Location": "file:///etc/passwd"})),
        "loop": server.at("/loop", Answer(status=302, headers={"Location": "/loop"})),
        "moved": server.at("/moved", Answer(status=301, headers={"Location": "/there"})),
    }
    for name, location in (("broken", "http://[bad/x.jpg"), ("private", "https://10.0.0.1/x.jpg")):
        wanted[name] = server.at(f"/{name}", Answer(status=302, headers={"Location": location}))
    server.at("/there", Answer(JPEG))
    found = fetched(wanted, tmp_path, max_bytes=10_000)
    assert set(found.failed) == {"large", "file", "loop", "broken", "private"}
    assert found.failed["broken"] == "cannot be asked (Invalid IPv6 URL)"
    assert "leads into a private network" in found.failed["private"]
    assert found.failed["large"] == "gives more than 10,000 bytes"
    assert names(tmp_path) == ["fetched.json", "moved.jpg"]


@pytest.mark.parametrize("per_host", [1, 3])
def test_a_host_is_asked_by_so_many_at_a_time(server: Server, tmp_path: Path, per_host: int) -> None:
    wanted = {f"i{i}": server.at(f"/{i}", Answer(JPEG, company=per_host)) for i in range(9)}
    assert fetched(wanted, tmp_path, per_host=per_host, rate=1e6).n_fetched == 9
    assert server.busiest == per_host


def test_a_stop_keeps_what_came(server: Server, tmp_path: Path) -> None:
    wanted = {f"i{i}": server.at(f"/{i}", Answer(JPEG)) for i in range(9)}

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    manners = Manners(per_host=1, rate=1e6)
    pairs = {item: (item, url) for item, url in wanted.items()}
    with pytest.raises(KeyboardInterrupt):
        fetch_pictures(pairs, tmp_path, manners, stop)
    assert len(list(tmp_path.glob("*.jpg"))) == 4
    (tmp_path / "i5.123.part").write_bytes(b"half")
    found = fetch_pictures(pairs, tmp_path, manners)
    assert (found.n_there, found.n_fetched) == (4, 5)
    assert not list(tmp_path.glob("*.part"))
    assert len(server.asked) == 9


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "fetched.json").write_text('{"failed": []}')
    with pytest.raises(DataError, match=r"fetched\.json: cannot be read .* Delete it"):
        fetched({}, tmp_path)


def test_suffixes_of_real_files() -> None:
    image = pytest.importorskip("PIL.Image")
    for kind, suffix in {
        "JPEG": ".jpg",
        "PNG": ".png",
        "GIF": ".gif",
        "BMP": ".bmp",
        "TIFF": ".tif",
        "WEBP": ".webp",
    }.items():
        image.new("RGB", (2, 2)).save(file := io.BytesIO(), kind)
        assert suffix_of(file.getvalue()[:16]) == suffix
    assert suffix_of(b"<!doctype html>") is None


def test_a_failure_is_forgotten_when_somebody_puts_the_picture_there(server: Server, tmp_path: Path) -> None:
    wanted = {name: server.at(f"/{name}.jpg", Answer(status=404)) for name in ("a", "b")}
    assert set(fetched(wanted, tmp_path).failed) == {"a", "b"}
    (tmp_path / "a.jpg").write_bytes(JPEG)
    found = fetched({"a": wanted["a"]}, tmp_path)
    assert (found.n_there, found.failed) == (1, {})
    assert failures(tmp_path) == {}
