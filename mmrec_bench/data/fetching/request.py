"""One question to one address: redirects by our own rules, and what an answer's status means."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import requests

from mmrec_bench import __version__
from mmrec_bench.data.downloads import LOOPBACK, address_fault
from mmrec_bench.data.fetching.policy import Policy, Refusal


class Fault(Protocol):
    """What says whether an address may be asked."""

    def __call__(self, url: str, *, loopback: bool) -> str | None:
        """Return what forbids asking an address, or None; `loopback` says whether it may be this machine."""


MAX_REDIRECTS = 8
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of troubles that may pass."""


def new_session() -> requests.Session:
    """Return a session that sends no passwords, not even those of a ``.netrc``, and asks for bytes as they are."""
    session = requests.Session()
    session.headers.update({"User-Agent": f"mmrec-bench/{__version__}", "Accept-Encoding": "identity"})
    session.auth = lambda request: request
    return session


@contextmanager
def asked(
    session: requests.Session,
    url: str,
    headers: Mapping[str, str],
    policy: Policy,
    fault: Fault = address_fault,
) -> Iterator[requests.Response]:
    """Lend the answer of an address, or of where it leads; its body is not read yet.

    Args:
        session: Asks.
        url: The address.
        headers: Of the question.
        policy: How patiently.
        fault: Returns what forbids asking an address that this one leads to, or None.

    Raises:
        Refusal: There is no answer, or it leads to where nobody may be asked, in circles, or nowhere.
    """
    here = urlsplit(url).hostname in LOOPBACK
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = session.get(
                url, headers=dict(headers), stream=True, allow_redirects=False, timeout=policy.timeout
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Refusal(f"no answer ({_cause(error)})", again=True) from None
        except (requests.RequestException, ValueError) as error:  # it reads where a redirect leads: maybe nowhere
            raise Refusal(f"cannot be asked ({_cause(error)})") from None
        with response:
            location = response.headers.get("Location")
            if response.status_code not in REDIRECTS or location is None:
                yield response
                return
        try:
            url = urljoin(url, location)
        except ValueError:
            raise Refusal(f"leads to {location[:120]!r}, which is no address") from None
        if forbidden := fault(url, loopback=here):
            raise Refusal(f"leads to {url[:120]!r}, which {forbidden}")
    raise Refusal(f"leads on more than {MAX_REDIRECTS} times")


def check_status(response: requests.Response) -> None:
    """Refuse an answer that holds no part of a file.

    Raises:
        Refusal: With its status; worth another try where the trouble may pass.
    """
    status = response.status_code
    if status not in (200, 206):
        words = f"answers {status} {response.reason or ''}".strip()
        raise Refusal(words, again=status in PASSING, wait=_wait(response.headers.get("Retry-After")))


def _wait(text: str | None) -> float | None:
    """Return the seconds of a ``Retry-After``, which are a number or a date (RFC 9110, section 10.2.3)."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _cause(error: BaseException) -> str:
    """Return the innermost words of an error, without addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or str(error).split(": ")[-1][:200] or type(error).__name__
