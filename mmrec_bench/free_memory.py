"""Memory that is left: of the machine, or of the control group that a container or a job system holds processes in."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version of control groups: the limit, what is used, and what of it are files that would be dropped."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of these parameters in glibc's malloc.h."""
_OF_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_MIB = 1 << 20


def available_memory() -> int:
    """Return the bytes that this process may still take before the system refuses them, or kills it.

    What it has freed and still holds is given back first, and is among them.
    """
    _give_freed_memory_back()
    return min(psutil.virtual_memory().available, *_left_in_groups(_GROUPS, _OWN), 2**63 - 1)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have this process keep what it frees for what it asks for next: up to a GiB, or an eighth of what is left.

    Training asks for the same tables in every step. glibc returns large ones to the system as soon as they are free,
    and the system clears every page before it lends it out again, which can take longer than the arithmetic.
    Afterwards everything is given back. Other C libraries are left as they are, and so are the thresholds of glibc
    where its own environment variables are set.
    """
    kept = min(1024 * _MIB, available_memory() // 8)
    _set_thresholds(trim=kept, mmap=kept // 4)
    try:
        yield
    finally:
        _set_thresholds(trim=64 * _MIB, mmap=32 * _MIB)  # what glibc's own come to where large blocks are freed
        _give_freed_memory_back()


def _set_thresholds(trim: int, mmap: int) -> None:
    """Set from how many free bytes on memory is given back, and from which size on blocks are, each of its own."""
    if (libc := _glibc()) is not None and not any(name in os.environ for name in _OF_THE_USER):
        libc.mallopt(_TRIM_THRESHOLD, trim)
        libc.mallopt(_MMAP_THRESHOLD, mmap)


def _give_freed_memory_back() -> None:
    if (libc := _glibc()) is not None:
        libc.malloc_trim(ctypes.c_size_t(0))


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is glibc."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None


def _left_in_groups(groups: Path, own: Path) -> Iterator[int]:
    """Yield what is left in each control group with a limit that this process is in."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # another system
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        limit, used, files = _FILES[1 if controllers else 2]
        root = groups / "memory" if controllers else groups
        folder = root / path.strip("/")
        for group in (folder, *folder.parents):  # a container may not see the path that its host sees
            if not group.is_relative_to(root):
                break
            try:
                left = int((group / limit).read_text()) - int((group / used).read_text())
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield max(0, left + int(stat.get(files, 0)))
            except (OSError, ValueError):  # no limit, or no such group
                continue
