"""Pictures of items from the servers of shops: few at a time, slowly, each once; what failed is written down.

Hosts are asked side by side, each by few connections and not more often than the manners say. A file that is there is
not asked for again, so that a fetch that was stopped goes on.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import requests
import urllib3

from mmrec_bench.data.downloads import LOOPBACK
from mmrec_bench.data.fetching.picture_list import FETCHED, PictureList, refused
from mmrec_bench.data.fetching.policy import Policy, Refusal
from mmrec_bench.data.fetching.request import asked, check_status, new_session
from mmrec_bench.errors import DataError

CHUNK = 1 << 16
KINDS: Mapping[bytes, str] = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
"""First bytes of pictures, and the suffix of their files; WebP has its own inside a RIFF."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How politely pictures are asked for.

    Attributes:
        per_host: Connections to one host at a time.
        rate: Questions a second to one host.
        n_hosts: Hosts that are asked at a time.
        give_up_after: Failures of a host in a row after which it is left alone for this time.
        contact: Address or page of whoever fetches, told to the servers; empty for none.
        policy: How patiently one picture is asked for, and how large it may be.
        clock: Tells seconds.
    """

    per_host: int = 2
    rate: float = 5.0
    n_hosts: int = 8
    give_up_after: int = 20
    contact: str = ""
    policy: Policy = field(default_factory=lambda: Policy(attempts=3, timeout=30.0, max_bytes=32 << 20))
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class FetchedPictures:
    """What became of the pictures of a data set.

    Attributes:
        n_there: Items whose picture was there before.
        n_fetched: Items whose picture came now.
        failed: Why the others have none, by item id.
    """

    n_there: int
    n_fetched: int
    failed: Mapping[str, str]

    def reasons(self) -> Counter[str]:
        """Return how many items have no picture, by reason."""
        return Counter(self.failed.values())


def fetch_pictures(
    wanted: Mapping[str, tuple[str, str]],
    folder: Path,
    manners: Manners,
    watch: Callable[[int, int], None] | None = None,
    *,
    again: bool = False,
) -> FetchedPictures:
    """Fetch the pictures that are not there yet.

    Args:
        wanted: Name of the file without suffix, and address, by item id.
        folder: Where they go; made where it is not there.
        manners: How politely.
        watch: Is told how many answers came, and of how many.
        again: Whether pictures are asked for again that a server has refused for good.

    Raises:
        DataError: The list of failures beside the pictures cannot be read, or another process is at it.
        OSError: The disk has no room, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            return _fetched(wanted, folder, manners, watch, again=again)
    except filelock.Timeout:
        raise DataError(f"{folder}: another process is fetching pictures; wait for it, or stop it") from None


def _fetched(
    wanted: Mapping[str, tuple[str, str]],
    folder: Path,
    manners: Manners,
    watch: Callable[[int, int], None] | None,
    *,
    again: bool,
) -> FetchedPictures:
    for rest in folder.glob("*.part"):
        rest.unlink()
    there = {path.stem for path in folder.iterdir() if path.suffix in {*KINDS.values(), ".webp", ".jpeg"}}
    book = PictureList(folder / FETCHED, watch, {} if again else refused(folder / FETCHED))
    n_there = sum(stem in there for stem, _ in wanted.values())
    for item in [item for item in book.failed if item not in wanted or wanted[item][0] in there]:
        del book.failed[item]  # the item is gone, or somebody has put its picture there
    queues: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for item, (stem, url) in wanted.items():
        if stem in there or book.knows(item, url):
            continue
        if fault := _fault(url):
            book.fail(item, url, fault, for_good=True)
            continue
        host = urlsplit(url).netloc.lower()
        queues.setdefault(host, {}).setdefault(url, []).append((item, stem))  # an address is asked once for all items
    book.total = sum(len(of_url) for urls in queues.values() for of_url in urls.values())
    hosts = [_Host(urls, folder, manners, book) for urls in queues.values()]
    try:
        with ThreadPoolExecutor(max(1, min(manners.n_hosts, len(hosts)))) as pool:
            try:
                for done in [pool.submit(one.run) for one in hosts]:
                    done.result()
            except BaseException:
                for one in hosts:
                    one.stop.set()
                raise
    finally:
        book.write()
    return FetchedPictures(n_there, book.n_fetched, {item: why for item, (_, why, _) in book.failed.items()})


class _Host:
    """Asks one host for its pictures.

    Args:
        urls: Items and file names by address.
        folder: Where pictures go.
        manners: How politely.
        book: Where results are written down.
    """

    def __init__(
        self, urls: Mapping[str, Sequence[tuple[str, str]]], folder: Path, manners: Manners, book: PictureList
    ) -> None:
        self._left = deque(urls.items())
        self._folder, self._manners, self._book = folder, manners, book
        self._lock, self._next, self._failures = threading.Lock(), 0.0, 0
        self.stop = threading.Event()

    def run(self) -> None:
        """Ask until nothing is left, the host is given up, or somebody says stop."""
        with ThreadPoolExecutor(self._manners.per_host) as pool:
            for done in [pool.submit(self._work) for _ in range(self._manners.per_host)]:
                done.result()

    def _work(self) -> None:
        try:
            with new_session() as session:
                if self._manners.contact:
                    session.headers["User-Agent"] = f"{session.headers['User-Agent']} ({self._manners.contact})"
                while not self.stop.is_set():
                    try:
                        url, items = self._left.popleft()
                    except IndexError:
                        return
                    self._one(session, url, items)
        except BaseException:
            self.stop.set()
            raise

    def _one(self, session: requests.Session, url: str, items: Sequence[tuple[str, str]]) -> None:
        if self._failures >= self._manners.give_up_after:
            self._book.done(items, url, "the host gives no answer", for_good=False)
            return
        try:
            content, suffix = self._asked(session, url)
        except Refusal as refusal:
            self._failures = self._failures + 1 if refusal.again else 0
            self._book.done(items, url, str(refusal), for_good=not refusal.again)
            return
        self._failures = 0
        for _, stem in items:
            part = self._folder / f"{stem}.{threading.get_ident()}.part"
            try:
                part.write_bytes(content)
                part.replace(self._folder / f"{stem}{suffix}")
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        self._book.done(items, url)

    def _asked(self, session: requests.Session, url: str) -> tuple[bytes, str]:
        """Return a picture and its suffix, asked for a few times.

        Raises:
            Refusal: The address gives none.
        """
        policy = self._manners.policy
        for attempt in range(policy.attempts):
            self._wait()
            try:
                return self._answer(session, url)
            except Refusal as refusal:
                last = attempt == policy.attempts - 1
                wait = policy.first_wait * 2**attempt if refusal.wait is None else refusal.wait
                if not refusal.again or last or wait > policy.longest_wait or self.stop.is_set():
                    raise
                with self._lock:  # who is asked to wait waits with all connections
                    self._next = max(self._next, self._manners.clock() + wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self) -> None:
        """Wait until the host may be asked again."""
        with self._lock:
            now = self._manners.clock()
            turn = max(self._next, now)
            self._next = turn + 1.0 / self._manners.rate
        if turn > now:
            self._manners.policy.sleep(turn - now)

    def _answer(self, session: requests.Session, url: str) -> tuple[bytes, str]:
        with asked(session, url, {"Accept": "image/*"}, self._manners.policy, _fault) as response:
            check_status(response)
            content = bytearray()
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=True):
                    content += chunk
                    if len(content) > (most := self._manners.policy.max_bytes):
                        raise Refusal(f"gives more than {most:,} bytes")
            except (urllib3.exceptions.HTTPError, requests.RequestException):
                raise Refusal("broke", again=True) from None
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and "Content-Encoding" not in response.headers and len(content) < int(length):
                raise Refusal("broke", again=True)
        if (suffix := suffix_of(bytes(content[:16]))) is None:
            kind = response.headers.get("Content-Type", "no type")[:40]
            raise Refusal(f"gives no picture ({kind})" if content else "gives an empty file")
        return bytes(content), suffix


def suffix_of(head: bytes) -> str | None:
    """Return the suffix of a picture by its first bytes, or None where it is none."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in KINDS.items() if head.startswith(start)), None)


def _fault(url: str, *, loopback: bool = True) -> str | None:
    """Return what forbids asking an address that a data set names, or None; pictures may come by http."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not host or any(ord(letter) <= 32 for letter in url):
        return "is no address"
    if host in LOOPBACK:
        return None if loopback else "leads from another machine to this one"
    try:
        private = not ip_address(host).is_global
    except ValueError:  # a name
        return None
    return "leads into a private network" if private else None
