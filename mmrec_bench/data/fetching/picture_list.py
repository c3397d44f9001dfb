"""The list of pictures that could not be fetched, beside those that were."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrec_bench.errors import DataError

FETCHED = "fetched.json"
"""List of what could not be fetched, beside the pictures."""
WRITE_EVERY = 200
"""Answers after which the list is written again."""


class PictureList:
    """What became of each item, kept by all threads and written now and then.

    Args:
        path: The list.
        watch: Is told how many answers came.
        failed: Address, reason, and whether it is for good, by item; from before.
    """

    def __init__(
        self, path: Path, watch: Callable[[int, int], None] | None, failed: dict[str, tuple[str, str, bool]]
    ) -> None:
        self._path, self._watch, self._lock = path, watch, threading.Lock()
        self.failed, self.n_fetched, self.total, self._n_done = failed, 0, 0, 0

    def knows(self, item: str, url: str) -> bool:
        """Return whether this address was refused for good before; what else is known of the item is forgotten."""
        if item in self.failed and (self.failed[item][0] != url or not self.failed[item][2]):
            del self.failed[item]
        return item in self.failed

    def fail(self, item: str, url: str, reason: str, *, for_good: bool) -> None:
        """Take down an item without a picture."""
        self.failed[item] = (url, reason, for_good)

    def done(
        self, items: Sequence[tuple[str, str]], url: str, reason: str | None = None, *, for_good: bool = False
    ) -> None:
        """Take down the answer of an address."""
        with self._lock:
            for item, _ in items:
                if reason is None:
                    self.n_fetched += 1
                else:
                    self.fail(item, url, reason, for_good=for_good)
            before, self._n_done = self._n_done, self._n_done + len(items)
            if before // WRITE_EVERY != self._n_done // WRITE_EVERY:
                self.write()
            if self._watch is not None:
                self._watch(self._n_done, self.total)

    def write(self) -> None:
        """Write the list, whole."""
        told = {item: {"url": url, "reason": why, "for_good": good} for item, (url, why, good) in self.failed.items()}
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        part.write_text(json.dumps({"schema_version": 1, "failed": told}, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(self._path)


def failures(folder: Path) -> dict[str, str]:
    """Return why pictures were not fetched into a folder, by item id.

    Raises:
        DataError: The list cannot be read.
    """
    return {item: reason for item, (_, reason, _) in refused(folder / FETCHED).items()}


def refused(path: Path) -> dict[str, tuple[str, str, bool]]:
    """Return address, reason, and whether it is for good, of each item without a picture, by item id.

    Raises:
        DataError: The list cannot be read.
    """
    try:
        failed: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["failed"]
        return {item: (str(one["url"]), str(one["reason"]), bool(one["for_good"])) for item, one in failed.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error)[:120]}). Delete it; pictures that are there stay"
        ) from None
