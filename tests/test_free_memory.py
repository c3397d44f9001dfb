from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mmrec_bench import free_memory
from mmrec_bench.free_memory import available_memory

GIB = 1 << 30


def _group(folder: Path, names: tuple[str, str, str], limit: str, used: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {files}\n")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("path", ["/", "/job/step", "/unseen/by/the/container"])
def test_the_least_of_all_limits_counts(
    version: int, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = free_memory._FILES[version]
    root, own = tmp_path / "cgroup", tmp_path / "own"
    inner = root / "memory" if version == 1 else root
    own.write_text(f"7:cpu,cpuacct:/elsewhere\n9:memory:{path}\n" if version == 1 else f"0::{path}\n")
    monkeypatch.setattr(free_memory, "_GROUPS", root)
    monkeypatch.setattr(free_memory, "_OWN", own)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 * GIB}))
    assert available_memory() == 64 * GIB, "nothing is limited"
    _group(inner, names, "max" if version == 2 else str(2**63 - 4096), 3 * GIB, 0)
    assert available_memory() == 64 * GIB
    _group(inner, names, str(8 * GIB), 5 * GIB, 2 * GIB)
    assert available_memory() == 5 * GIB, "files that would be dropped are free"
    _group(inner / "job", names, str(4 * GIB), 3 * GIB, 0)
    assert available_memory() == (1 if path == "/job/step" else 5) * GIB
    monkeypatch.setattr(free_memory, "_OWN", tmp_path / "none")
    assert available_memory() == 64 * GIB
