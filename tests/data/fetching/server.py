"""A server on this machine that answers as bad servers do."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What is said to one request.

    Attributes:
        data: The whole file.
        etag: Its version; None where the server tells none.
        ranges: Whether it gives a piece where one is asked for.
        cut: Bytes of the body after which the connection is dropped.
        says: Content-Length, where it is not the true one.
        shift: Bytes by which a piece begins elsewhere than was asked for.
        status: Status, where it is not 200 or 206.
        headers: Further headers.
        chunked: Whether the body comes in chunks, without a length.
        hangs: Whether the connection stays open after ``cut`` bytes, and nothing comes, until the server ends.
        company: Requests that have to be open at a time before this is said; it is said after ten seconds all the same.
    """

    data: bytes = b""
    etag: str | None = '"v1"'
    ranges: bool = True
    cut: int | None = None
    says: int | None = None
    shift: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    hangs: bool = False
    company: int = 1


@dataclass
class Server:
    """The answers of each path, in order; the last one is said again and again.

    Attributes:
        busiest: Most requests that were open at a time.
    """

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    busiest: int = 0
    _open: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def at(self, path: str, *answers: Answer) -> str:
        """Say these answers at a path, and return its address."""
        self.answers[path] = list(answers)
        return self.url + path

    def wait(self, company: int) -> None:
        """Count a request as open for a moment, and wait for others.

        It counts no more before it is answered: after that, whoever asked may ask again.
        """
        with self._changed:
            self._open += 1
            self.busiest = max(self.busiest, self._open)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.busiest >= company, timeout=10)
        time.sleep(0.01)
        with self._changed:
            self._open -= 1

    def ranges(self) -> list[str | None]:
        """Return the pieces that were asked for."""
        return [headers.get("Range") for _, headers in self.asked]


@contextmanager
def running() -> Iterator[Server]:
    """Lend a running server."""
    server, ended = Server(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            server.asked.append((self.path, dict(self.headers)))
            answers = server.answers.get(self.path)
            if not answers:
                self.send_error(404)
                return
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            server.wait(answer.company)
            self.say(answer)

        def say(self, answer: Answer) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            fresh = self.headers.get("If-Range") in (None, answer.etag)
            status, body = 200, answer.data
            if asked and answer.ranges and fresh:
                start = int(asked[1]) + answer.shift
                status, body = (206, body[start:]) if start < len(body) else (416, b"")
            self.send_response(answer.status or status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(answer.data) - 1}/{len(answer.data)}")
            elif status == 416:
                self.send_header("Content-Range", f"bytes */{len(answer.data)}")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body) if answer.says is None else answer.says))
            self.end_headers()
            sent = body if answer.cut is None else body[: answer.cut]
            if answer.chunked:
                for place in range(0, len(sent), 1000):
                    piece = sent[place : place + 1000]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"" if answer.cut is not None else b"0\r\n\r\n")
            else:
                self.wfile.write(sent)
            if answer.hangs:
                self.wfile.flush()
                ended.wait(60)
            self.close_connection = answer.cut is not None or answer.says is not None

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is no news."""

    with Quiet(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            httpd.shutdown()
            thread.join()
