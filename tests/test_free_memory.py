from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mmrec_bench import free_memory
from mmrec_bench.free_memory import available_memory, freed_memory_kept

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


_FAULTS = """
import ctypes
import resource
from contextlib import nullcontext

import torch

from mmrec_bench.free_memory import freed_memory_kept

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: huge pages would make few faults of many pages

def step():
    tables = [torch.ones(12 << 20) for _ in range(3)]  # 48 MiB each, which glibc by itself always gives back

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for keeping in (nullcontext, freed_memory_kept):
    with keeping():
        for _ in range(10):  # small blocks on top of the tables may move them in the first steps
            step()
        before = faults()
        for _ in range(20):
            step()
        print(faults() - before)
"""


@pytest.mark.skipif(free_memory._glibc() is None, reason="the C library is not glibc")
def test_freed_memory_is_used_again_while_it_is_kept() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in free_memory._OF_THE_USER}
    made = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True, env=environment)
    plain, kept = map(int, made.stdout.split())
    assert kept < 100, "pages that were cleared anew"
    assert plain > 1_000, "the C library keeps them by itself: freed_memory_kept is no longer needed"


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_user_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    library = SimpleNamespace(mallopt=lambda *given: called.append(given), malloc_trim=lambda _: None)
    monkeypatch.setattr(free_memory, "_glibc", lambda: library)
    for one in free_memory._OF_THE_USER:
        monkeypatch.delenv(one, raising=False)
    with freed_memory_kept():
        assert called
    called.clear()
    monkeypatch.setenv(name, "1")
    with freed_memory_kept():
        pass
    assert not called


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "_glibc", lambda: None)
    with freed_memory_kept():
        assert available_memory() > 0
