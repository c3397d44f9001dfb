"""How patiently files are fetched, and why an address is given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of fetching.

    Attributes:
        attempts: Tries of one address in a row that bring nothing new before it is given up.
        first_wait: Seconds before the second try; doubled from try to try.
        longest_wait: Seconds above which nobody waits, whatever a server asks for.
        timeout: Seconds without a byte after which a connection is broken.
        max_bytes: Size above which no file is fetched; the size of a card comes first.
        sleep: What waits.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 120.0
    timeout: float = 60.0
    max_bytes: int = 256 << 30
    sleep: Callable[[float], None] = time.sleep


class Watcher(Protocol):
    """Who is told how far a file is."""

    def __call__(self, file: str, n_bytes: int, total: int | None, word: str = "") -> None:
        """Take notice.

        Args:
            file: Name of the file.
            n_bytes: Bytes that are there.
            total: Bytes of the whole file, where the server tells.
            word: What else happens, such as a pause.
        """


def unwatched(file: str, n_bytes: int, total: int | None, word: str = "") -> None:
    """Tell nobody."""


class Refusal(Exception):  # noqa: N818 - it is no error of the user's; what comes of all refusals is
    """An address that does not give the file.

    Attributes:
        again: Whether another try may help.
        wait: Seconds that the server asks to wait, if it does.
    """

    def __init__(self, reason: str, *, again: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.again, self.wait = again, wait
