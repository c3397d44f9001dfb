"""The bytes of one file from one address: where the last try broke, the next one goes on."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import requests
import urllib3

from mmrec_bench.data.downloads import Download
from mmrec_bench.data.fetching.checks import HEAD, check_head, check_whole
from mmrec_bench.data.fetching.part import Origin, Part
from mmrec_bench.data.fetching.policy import Policy, Refusal, Watcher
from mmrec_bench.data.fetching.request import asked, check_status
from mmrec_bench.errors import ResourceError

CHUNK = 1 << 18
LONG = 1 << 26
"""Bytes of a file that takes long to check, so that somebody who waits is told."""
PROGRESS = 1 << 16
"""Bytes that make a try count as one that brought something."""


def brought(session: requests.Session, url: str, download: Download, part: Part, policy: Policy, watch: Watcher) -> str:
    """Bring a file from an address, and return its sha256; tries again while that brings something.

    Raises:
        Refusal: The address does not give the file.
        ResourceError: The disk has no room.
    """
    failures, best = 0, part.n_bytes
    while True:
        resumed = part.origin(url) is not None
        try:
            _transfer(session, url, download, part, policy, watch)
            if part.n_bytes > LONG:
                watch(download.file, part.n_bytes, part.n_bytes, "it is whole, and is checked")
            try:
                return check_whole(download, part.path)
            except Refusal as refusal:
                part.drop()  # pieces of two versions of a file are healed by starting anew, a wrong file is not
                raise Refusal(str(refusal), again=resumed) from None
        except Refusal as refusal:
            failures = 1 if part.n_bytes >= best + PROGRESS else failures + 1
            best = max(best, part.n_bytes)
            if not refusal.again:
                raise
            if failures >= policy.attempts:
                raise Refusal(f"{refusal}, {failures} times in a row") from None
            wait = policy.first_wait * 2 ** (failures - 1) if refusal.wait is None else refusal.wait
            if wait > policy.longest_wait:
                raise Refusal(f"{refusal}, and asks to come back in {wait:.0f} seconds") from None
            watch(download.file, part.n_bytes, None, f"{refusal}; trying again in {wait:.0f} s")
            policy.sleep(wait)


def _transfer(
    session: requests.Session, url: str, download: Download, part: Part, policy: Policy, watch: Watcher
) -> None:
    """Write what an address gives behind the bytes that are there, or in their place.

    Raises:
        Refusal: Nothing came, the wrong thing came, or not all of it.
        ResourceError: The disk has no room.
    """
    origin, have = part.origin(url), part.n_bytes
    headers = {}
    if origin is not None:
        if have == origin.total:  # whole, but not yet checked when the last process ended
            return
        headers = {"Range": f"bytes={have}-", "If-Range": str(origin.validator)}
    with asked(session, url, headers, policy) as response:
        if response.status_code == 416 and headers:
            if response.headers.get("Content-Range") == f"bytes */{have}":  # it broke behind the last byte
                return
            part.drop()
            raise Refusal("does not go on from where it broke", again=True)
        check_status(response)
        appends = response.status_code == 206
        if appends and (not headers or not _continues(response, have)):
            part.drop()
            raise Refusal("gives another piece than was asked for", again=True)
        have = have if appends else 0
        total = _total(response, have)
        _check_answer(response, download, total, policy)
        _check_room(part.path, download.file, 0 if total is None else total - have)
        told = Origin(url=url, validator=_validator(response), total=total)
        try:
            with part.opened(told, append=appends) as file:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    if not have and len(chunk) >= HEAD:
                        check_head(download.file, chunk)
                    have += len(chunk)
                    if have > (download.n_bytes or policy.max_bytes):
                        raise Refusal(f"gives more than the {download.n_bytes or policy.max_bytes:,} bytes allowed")
                    file.write(chunk)
                    watch(download.file, have, total)
                file.flush()
                os.fsync(file.fileno())
        except urllib3.exceptions.HTTPError:
            raise Refusal(f"broke after {part.n_bytes:,} bytes", again=True) from None
        if total is not None and have < total:
            raise Refusal(f"broke after {have:,} of {total:,} bytes", again=True)


def _check_answer(response: requests.Response, download: Download, total: int | None, policy: Policy) -> None:
    if response.headers.get("Content-Encoding", "identity") != "identity" and not download.file.endswith(".gz"):
        raise Refusal(f"gives the file in another form: {response.headers['Content-Encoding'][:40]}")
    if total is not None and download.n_bytes not in (None, total):
        raise Refusal(f"gives {total:,} bytes; the card says {download.n_bytes:,}")
    if total is not None and total > policy.max_bytes:
        raise Refusal(f"gives {total:,} bytes; at most {policy.max_bytes:,} are fetched")


def _check_room(path: Path, file: str, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise ResourceError(
            f"{path.parent}: {file} needs {needed:,} bytes more, and the disk has {free:,}. Make room, or give another "
            "folder by --raw"
        )


def _continues(response: requests.Response, have: int) -> bool:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == have


def _total(response: requests.Response, have: int) -> int | None:
    found = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if response.status_code == 206 and found is not None:
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isascii() and length.isdigit() else None


def _validator(response: requests.Response) -> str | None:
    """Return what ``If-Range`` may hold (RFC 9110, section 13.1.5): weak ETags may not stand there."""
    headers: Mapping[str, str] = response.headers
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")
