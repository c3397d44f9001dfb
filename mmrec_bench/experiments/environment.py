"""Where a run happened: packages, code, device, memory."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from mmrec_bench import __file__ as package_file
from mmrec_bench.errors import ResourceError
from mmrec_bench.free_memory import available_memory
from mmrec_bench.registry import plug_ins
from mmrec_bench.training.subnormals import start_threads

PACKAGES = (
    "mmrec-bench",
    "torch",
    "torch-geometric",
    "faiss-cpu",
    "faiss-gpu-cu12",
    "numpy",
    "scipy",
    "scikit-learn",
    "lightgbm",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
)
PACKAGE_FOLDER = Path(package_file).resolve().parent
MIB = 1 << 20


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(wish: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ResourceError: ``cuda`` was asked for and there is none, or the wish is unknown.
    """
    if wish not in ("auto", "cpu", "cuda"):
        raise ResourceError(f"device must be auto, cpu or cuda; got '{wish}'")
    has_cuda = torch.cuda.is_available()
    if wish == "cuda" and not has_cuda:
        raise ResourceError("device cuda was asked for, but torch finds no CUDA device; use --device cpu")
    return torch.device("cuda" if has_cuda and wish != "cpu" else "cpu")


def use_threads(count: int | None = None) -> int:
    """Set torch and faiss to ``count`` threads (all cores given by default) and return the number."""
    threads = count or available_cores()
    start_threads(threads)
    try:
        import faiss
    except ImportError:
        pass  # doctor and the retriever say what to install; nothing else needs it
    else:
        faiss.omp_set_num_threads(threads)
    return threads


def limit_memory() -> None:
    """Have the system refuse memory that is not there, where it can.

    Linux grants any request and kills the process that then uses it; a refused request is an error that can be told.
    """
    if sys.platform != "linux":
        return
    import resource  # there is none on Windows

    free, used = available_memory(), psutil.Process().memory_info().data
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = free + used
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


@functools.cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that can move a number, those of plug-ins among them."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *sorted({point.dist.name for point in plug_ins() if point.dist is not None})):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def code_digest() -> str:
    """Return a digest of the source of this package and of installed plug-ins; a run made by other code is stale."""
    return digest_of_source(PACKAGE_FOLDER)


def digest_of_source(folder: Path) -> str:
    """Return a digest of the Python files below a folder, and of the packages of installed plug-ins."""
    hasher = hashlib.blake2b(digest_size=8)
    for root in (folder, *_plugged_in()):
        files = [root] if root.is_file() else sorted(root.rglob("*.py"))
        for path in files:
            name = path.relative_to(root).as_posix() if path != root else path.name
            hasher.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()


def _plugged_in() -> list[Path]:
    """Return the folder, or the file, of the top package of every plug-in; those that are missing have none."""
    found: list[Path] = []
    for package in sorted({point.module.partition(".")[0] for point in plug_ins()} - {PACKAGE_FOLDER.name}):
        if (spec := find_spec(package)) is None:
            continue
        places = spec.submodule_search_locations
        found += map(Path, places if places is not None else [spec.origin] if spec.has_location and spec.origin else [])
    return found


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Return commit and dirtiness of the checkout the package runs from, or None outside one."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(PACKAGE_FOLDER.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    sha = git("rev-parse", "HEAD") if (PACKAGE_FOLDER.parent / ".git").exists() else None
    return None if sha is None else {"sha": sha, "dirty": bool(git("status", "--porcelain"))}


@functools.cache
def cpu_name() -> str:
    """Return the processor's name as the system prints it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_facts(device: torch.device) -> dict[str, Any]:
    """Return type and name of a device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {"type": device.type, "name": name, "cores": available_cores()}


class PeakMemory:
    """Samples the resident memory of this process while a run lasts; the peak is in MiB.

    The operating system's own high-water mark covers the whole life of a process, which in a suite is many runs.
    """

    INTERVAL = 0.02

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="peak-memory")
        self.peak_mib = 0.0

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _sample(self) -> None:
        self.peak_mib = max(self.peak_mib, self._process.memory_info().rss / MIB)

    def _watch(self) -> None:
        while not self._done.wait(self.INTERVAL):
            self._sample()
