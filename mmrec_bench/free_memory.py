"""Memory that is left: of the machine, or of the control group that a container or a job system holds processes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version of control groups: the limit, what is used, and what of it are files that would be dropped."""


def available_memory() -> int:
    """Return the bytes that this process may still take before the system refuses them, or kills it."""
    return min(psutil.virtual_memory().available, *_left_in_groups(_GROUPS, _OWN), 2**63 - 1)


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
