"""Downloads against servers that misbehave: resumed, retried or refused; the final file is right or absent."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmrec_bench.data.fetching.transfer as transfer_module
import mmrec_bench.data.raw.files as raw_files
from mmrec_bench.data.cards import parse_card
from mmrec_bench.data.fetching.fetch import Fetched, fetch
from mmrec_bench.data.fetching.policy import Policy
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.errors import ConfigError, DataError, ResourceError
from mmrec_bench.settings import Document
from tests.data.fetching.server import Answer, Server

DATA = np.random.default_rng(0).integers(0, 256, 400_000, np.uint8).tobytes()
SHA = hashlib.sha256(DATA).hexdigest()
ZIPPED = gzip.compress(DATA, mtime=0)


@dataclass
class Clock:
    """Waits without waiting."""

    waits: list[float] = field(default_factory=list)

    @property
    def policy(self) -> Policy:
        return Policy(attempts=4, timeout=5.0, sleep=self.waits.append)


def card(urls: Sequence[str], file: str = "baby.bin", **facts: Any) -> DatasetCard:
    download = {"file": file, "urls": list(urls), **facts}
    data = {
        "schema_version": 1,
        "name": "mine",
        "format": "mmrec",
        "interactions": "mine.inter",
        "downloads": [download],
    }
    return parse_card(Document("card.yaml", data))


def get(raw: Path, urls: Sequence[str], clock: Clock | None = None, **facts: Any) -> Fetched:
    (made,) = fetch(card(urls, **facts), raw, policy=(clock or Clock()).policy)
    return made


def check_right(raw: Path, made: Fetched, data: bytes = DATA) -> None:
    """The file is right, its record is true, and nothing half-made is left."""
    assert made.path.read_bytes() == data
    assert made.record.sha256 == hashlib.sha256(data).hexdigest()
    assert {path.name for path in raw.iterdir() if not path.name.endswith(".lock")} == {
        made.path.name,
        f"{made.path.name}.fetched.json",
    }


def refused(raw: Path, urls: Sequence[str], clock: Clock | None = None, **facts: Any) -> str:
    """Return why nothing was fetched; the file must be absent."""
    with pytest.raises(DataError) as error:
        get(raw, urls, clock, **facts)
    file = facts.get("file", "baby.bin")
    assert not (raw / file).exists()
    assert f"put it as {raw / file}" in str(error.value)
    assert urls[0] in str(error.value)
    return str(error.value)


def test_a_file_is_fetched_once_and_its_digest_written_down(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    made = get(tmp_path, [url])
    check_right(tmp_path, made)
    assert made.record.url == url
    assert not made.was_there
    assert get(tmp_path, [url]).was_there
    assert len(server.asked) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path, chunked: bool) -> None:
    broken = Answer(DATA, cut=100_000, chunked=chunked)
    url = server.at("/baby.bin", broken, broken, broken, broken, Answer(DATA))
    clock = Clock()
    check_right(tmp_path, get(tmp_path, [url], clock, sha256=SHA))
    starts = [0 if text is None else int(text.removeprefix("bytes=").removesuffix("-")) for text in server.ranges()]
    assert len(starts) >= 4
    assert starts == sorted(set(starts))
    assert all(headers.get("If-Range") == '"v1"' for _, headers in server.asked[1:])
    assert len(clock.waits) == len(starts) - 1


def test_an_interrupted_process_goes_on_in_the_next_one(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, cut=150_000), Answer(status=403))
    text = refused(tmp_path, [url])
    assert "403" in text
    assert f"150,000 bytes are kept in {tmp_path / 'baby.bin.part'}" in text
    server.at("/baby.bin", Answer(DATA))
    check_right(tmp_path, get(tmp_path, [url]))
    assert server.ranges()[-1] == "bytes=150000-"


def test_a_killed_process_leaves_a_part_that_the_next_one_goes_on_from(server: Server, tmp_path: Path) -> None:
    big = DATA * 5
    url = server.at("/baby.bin", Answer(big, cut=1_000_000, hangs=True), Answer(big))
    code = (
        "import sys; from pathlib import Path; from tests.data.fetching.test_fetch import get; "
        "get(Path(sys.argv[1]), [sys.argv[2]])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), url])
    part = tmp_path / "baby.bin.part"
    try:
        for _ in range(600):
            if part.is_file() and part.stat().st_size > 500_000:
                break
            time.sleep(0.1)
    finally:
        child.kill()
        child.wait()
    had = part.stat().st_size
    assert had > 500_000
    assert not (tmp_path / "baby.bin").exists()
    check_right(tmp_path, get(tmp_path, [url]), big)
    assert server.ranges() == [None, f"bytes={had}-"]


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, cut=100_000, hangs=True))
    with pytest.raises(DataError, match="broke after"):
        fetch(card([url]), tmp_path, policy=Policy(attempts=1, timeout=1.5))


def test_a_whole_part_is_not_asked_for_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def interrupted(*_: Any) -> str:
            raise KeyboardInterrupt

        patch.setattr(transfer_module, "check_whole", interrupted)
        get(tmp_path, [url])
    assert not (tmp_path / "baby.bin").exists()
    check_right(tmp_path, get(tmp_path, [url]))
    assert len(server.asked) == 1


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, cut=100_000), Answer(DATA, ranges=False))
    check_right(tmp_path, get(tmp_path, [url]))


def test_nobody_goes_on_where_the_version_is_not_known(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA[::-1], etag=None, cut=100_000), Answer(DATA, etag=None))
    check_right(tmp_path, get(tmp_path, [url]))
    assert server.ranges() == [None, None]


def test_a_file_that_changed_in_between_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA[::-1], cut=100_000), Answer(DATA, etag='"v2"'))
    check_right(tmp_path, get(tmp_path, [url]))
    assert server.ranges() == [None, "bytes=100000-"]


def test_two_versions_under_one_tag_are_noticed_and_healed(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA[::-1], cut=100_000), Answer(DATA))
    check_right(tmp_path, get(tmp_path, [url], sha256=SHA))
    assert server.ranges() == [None, "bytes=100000-", None]


def test_another_piece_than_was_asked_for_is_not_appended(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, cut=100_000), Answer(DATA, shift=7), Answer(DATA))
    check_right(tmp_path, get(tmp_path, [url]))
    assert server.ranges() == [None, "bytes=100000-", None]


def test_a_piece_behind_the_end_starts_anew(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, cut=100_000), Answer(DATA[:50_000]), Answer(DATA))
    check_right(tmp_path, get(tmp_path, [url]))


def test_a_length_that_is_too_long_is_a_broken_connection(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, says=len(DATA) + 1, etag=None))
    text = refused(tmp_path, [url])
    assert "broke after 400,000 bytes, 4 times in a row" in text


@pytest.mark.parametrize("facts", [{"sha256": SHA}, {"n_bytes": len(DATA)}])
def test_a_length_that_is_too_short_is_noticed(server: Server, tmp_path: Path, facts: dict[str, Any]) -> None:
    url = server.at("/baby.bin", Answer(DATA, says=len(DATA) - 1))
    assert "gives" in refused(tmp_path, [url], **facts)


def test_an_archive_that_was_cut_is_noticed_without_a_digest(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.gz", Answer(ZIPPED, says=len(ZIPPED) - 20), Answer(ZIPPED))
    assert "gives a broken file" in refused(tmp_path, [url], file="baby.gz")


def test_an_archive_with_a_wrong_bit_is_noticed_without_a_digest(server: Server, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("u.data", DATA)
    wrong = bytearray(content.getvalue())
    wrong[200_000] ^= 1
    url = server.at("/ml.zip", Answer(bytes(wrong)))
    assert "CRC" in refused(tmp_path, [url], file="ml.zip")
    url = server.at("/ml.zip", Answer(content.getvalue()))
    check_right(tmp_path, get(tmp_path, [url], file="ml.zip"), content.getvalue())


def test_a_bomb_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_files, "FREE", 1 << 20)
    url = server.at("/baby.gz", Answer(gzip.compress(bytes(50_000_000), 9)))
    assert "unpacks to more than 200 times its size" in refused(tmp_path, [url], file="baby.gz")


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.at("/there", Answer(DATA))
    url = server.at("/here", Answer(status=302, headers={"Location": "/there"}))
    made = get(tmp_path, [url])
    check_right(tmp_path, made)
    assert made.record.url == url


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/loop", "leads on more than 8 times"),
        ("file:///etc/passwd", "is no address"),
        ("http://example.org/x", "needs https"),
        ("ftp://127.0.0.1/x", "needs https"),
        ("http://[bad/x", "cannot be asked (Invalid IPv6 URL)"),
    ],
)
def test_bad_redirects_are_refused(server: Server, tmp_path: Path, location: str, why: str) -> None:
    url = server.at("/loop", Answer(status=301, headers={"Location": location}))
    assert why in refused(tmp_path, [url])


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_lasting_refusal_is_not_asked_again_and_the_mirror_is(server: Server, tmp_path: Path, status: int) -> None:
    first, second = server.at("/gone", Answer(status=status)), server.at("/mirror", Answer(DATA))
    clock = Clock()
    made = get(tmp_path, [first, second], clock)
    check_right(tmp_path, made)
    assert made.record.url == second
    assert [path for path, _ in server.asked] == ["/gone", "/mirror"]
    assert clock.waits == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_refusal_is_waited_for(server: Server, tmp_path: Path, status: int) -> None:
    url = server.at("/busy", Answer(status=status), Answer(status=status), Answer(DATA))
    clock = Clock()
    check_right(tmp_path, get(tmp_path, [url], clock))
    assert clock.waits == [1.0, 2.0]


def test_waiting_ends(server: Server, tmp_path: Path) -> None:
    url = server.at("/busy", Answer(status=500))
    clock = Clock()
    assert "answers 500 Internal Server Error, 4 times in a row" in refused(tmp_path, [url], clock)
    assert clock.waits == [1.0, 2.0, 4.0]


def test_retry_after_is_kept_to(server: Server, tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"  # long past
    answers = [Answer(status=429, headers={"Retry-After": text}) for text in ("7", date)]
    url = server.at("/busy", *answers, Answer(DATA))
    clock = Clock()
    check_right(tmp_path, get(tmp_path, [url], clock))
    assert clock.waits == [7.0, 0.0]


def test_nobody_waits_for_an_hour(server: Server, tmp_path: Path) -> None:
    url = server.at("/busy", Answer(status=429, headers={"Retry-After": "3600"}))
    clock = Clock()
    assert "asks to come back in 3600 seconds" in refused(tmp_path, [url], clock)
    assert clock.waits == []


def test_a_wrong_checksum_is_refused_and_the_mirror_asked(server: Server, tmp_path: Path) -> None:
    wrong, right = server.at("/wrong", Answer(DATA[::-1])), server.at("/right", Answer(DATA))
    assert "the card says" in refused(tmp_path, [wrong], sha256=SHA)
    assert not (tmp_path / "baby.bin.part").exists()
    made = get(tmp_path, [wrong, right], sha256=SHA)
    check_right(tmp_path, made)
    assert made.record.url == right


@pytest.mark.parametrize("file", ["reviews.json.gz", "ratings.csv", "ml.zip", "items.parquet"])
@pytest.mark.parametrize("size", [0, 500_000])
def test_a_page_with_status_200_is_refused(server: Server, tmp_path: Path, file: str, size: int) -> None:
    page = b"\n<!DOCTYPE html><html><body>Sorry" + b" " * size
    url = server.at("/sorry", Answer(page, headers={"Content-Type": "text/html"}))
    assert "gives a web page" in refused(tmp_path, [url], file=file)


def test_an_empty_file_and_one_of_another_kind_are_refused(server: Server, tmp_path: Path) -> None:
    for file in ("empty.bin", "empty.gz"):
        assert "gives an empty file" in refused(tmp_path, [server.at("/empty", Answer(b""))], file=file)
    assert "no .gz file" in refused(tmp_path, [server.at("/plain", Answer(DATA))], file="baby.gz")


def test_another_encoding_is_refused_where_it_would_be_stored(server: Server, tmp_path: Path) -> None:
    packed = Answer(ZIPPED, headers={"Content-Encoding": "gzip"})
    assert "in another form: gzip" in refused(tmp_path, [server.at("/a", packed)], file="ratings.csv")
    check_right(tmp_path, get(tmp_path, [server.at("/b", packed)], file="ratings.csv.gz"), ZIPPED)


def test_more_bytes_than_allowed_are_refused(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA, chunked=True))
    assert "more than the 1,000 bytes allowed" in refused(tmp_path, [url], n_bytes=1000)
    with pytest.raises(DataError, match="at most 5 are fetched"):
        fetch(card([server.at("/big", Answer(DATA))]), tmp_path, policy=Policy(max_bytes=5))


def test_no_answer_names_the_address_and_the_place(server: Server, tmp_path: Path) -> None:
    text = refused(tmp_path, ["https://nowhere.invalid/baby.bin", server.at("/gone", Answer(status=404))])
    assert "https://nowhere.invalid/baby.bin: no answer" in text
    assert "/gone: answers 404" in text
    assert "0x" not in text


def test_a_file_put_there_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / "baby.bin").write_bytes(DATA)
    made = get(tmp_path, ["https://nowhere.invalid/x"])
    assert made.was_there
    assert made.record.url is None
    check_right(tmp_path, made)


def test_a_broken_file_put_there_by_hand_is_refused(tmp_path: Path) -> None:
    (tmp_path / "baby.gz").write_bytes(ZIPPED[:-20])
    with pytest.raises(DataError, match=r"baby\.gz: is not the file that is wanted; it gives a broken file"):
        get(tmp_path, ["https://nowhere.invalid/x"], file="baby.gz")


def test_a_later_change_is_noticed(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    path = get(tmp_path, [url]).path
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(1, 1))  # clocks of some file systems would not tell both writings apart
    with pytest.raises(DataError, match=r"is another file: sha256 .*, when it was fetched it was"):
        get(tmp_path, [url])
    path.unlink()
    server.at("/baby.bin", Answer(DATA[::-1]))
    assert "gives another file than the one fetched here before" in refused(tmp_path, [url])
    record = tmp_path / "baby.bin.fetched.json"
    assert json.loads(record.read_text())["sha256"] == SHA
    record.unlink()
    check_right(tmp_path, get(tmp_path, [url]), DATA[::-1])


def test_a_touched_file_is_read_again_and_a_damaged_record_told(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    made = get(tmp_path, [url])
    made.path.touch()
    again = get(tmp_path, [url])
    assert again.record.sha256 == SHA
    assert again.record.url == url
    (tmp_path / "baby.bin.fetched.json").write_text("{}")
    with pytest.raises(DataError, match="is no record of a fetched file"):
        get(tmp_path, [url])


def test_a_digest_that_the_card_learns_later_is_held_against_the_file(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    get(tmp_path, [url])
    get(tmp_path, [url], sha256=SHA)
    with pytest.raises(DataError, match="the card says"):
        get(tmp_path, [url], sha256="0" * 64)


def test_a_mirror_of_ones_own_is_asked_first(server: Server, tmp_path: Path) -> None:
    server.at("/here/mine/baby.bin", Answer(DATA))
    (made,) = fetch(card(["https://nowhere.invalid/x"]), tmp_path, f"{server.url}/here/", Clock().policy)
    check_right(tmp_path, made)
    with pytest.raises(ConfigError, match="needs https"):
        fetch(card(["https://nowhere.invalid/x"]), tmp_path, "http://example.org")


def test_two_at_once_fetch_one_file_once(server: Server, tmp_path: Path) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    made: list[Fetched] = []
    threads = [threading.Thread(target=lambda: made.append(get(tmp_path, [url]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert sum(not one.was_there for one in made) == 1
    assert len(server.asked) == 1


def test_a_full_disk_is_told_before_and_while_writing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.at("/baby.bin", Answer(DATA))
    with monkeypatch.context() as patch, pytest.raises(ResourceError, match=r"needs 400,000 bytes more.*--raw"):
        patch.setattr(transfer_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
        get(tmp_path, [url])
    with monkeypatch.context() as patch, pytest.raises(ResourceError, match=r"the disk is full; what came is kept"):

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(transfer_module.os, "fsync", full)
        get(tmp_path, [url])
    assert not (tmp_path / "baby.bin").exists()
    check_right(tmp_path, get(tmp_path, [url]))


def test_a_folder_that_is_none_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(ResourceError, match="cannot be written or read"):
        get(tmp_path / "raw", [server.at("/baby.bin", Answer(DATA))])


def test_passwords_of_the_user_are_not_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    get(tmp_path / "raw", [server.at("/baby.bin", Answer(DATA))])
    assert "Authorization" not in server.asked[0][1]


def test_a_card_without_files_says_where_to_look(tmp_path: Path) -> None:
    data = {
        "schema_version": 1,
        "name": "mine",
        "format": "mmrec",
        "interactions": "a.inter",
        "sources": ["https://a.org"],
    }
    with pytest.raises(DataError, match=r"names no file to fetch. Get it by hand from https://a\.org"):
        fetch(parse_card(Document("card.yaml", data)), tmp_path)
