"""Shared fixtures: where real data is, and markers that skip visibly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line does
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Each of several processes has its share of the cores, and so has what it starts.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
os.environ.pop("FORCE_COLOR", None)  # with which rich writes to files as to a terminal
os.environ.pop("TTY_COMPATIBLE", None)
os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # servers of tests are on this machine
os.environ["no_proxy"] = os.environ["NO_PROXY"]

import hypothesis
import torch

from mmrec_bench.data.fetching.fetch import MIRROR_VARIABLE
from mmrec_bench.experiments.environment import use_threads
from tests.data.fetching.server import Server, running

# Until it is set, MKL may choose the number of threads by the load of the machine, and the last bits of sums with it.
THREADS = use_threads(torch.get_num_threads())
MEMORY = None if resource is None else resource.getrlimit(resource.RLIMIT_DATA)

# How long an example takes is no matter of tests: a busy machine would fail them.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    data = os.environ.get("MMREC_BENCH_DATA")
    has_data = bool(data) and Path(data or "").is_dir()
    for item in items:
        if item.get_closest_marker("data") and not has_data:
            item.add_marker(pytest.mark.skip(reason="real data: set MMREC_BENCH_DATA"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _own_threads_and_memory() -> None:
    if torch.get_num_threads() != THREADS:
        use_threads(THREADS)
    if MEMORY is not None:
        resource.setrlimit(resource.RLIMIT_DATA, MEMORY)


@pytest.fixture(autouse=True)
def _as_commands_find_them() -> Iterator[None]:
    """Threads and bound of memory of this process as at its start, whatever commands or fixtures have made of them."""
    _own_threads_and_memory()
    yield
    _own_threads_and_memory()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data; only for tests marked `data`."""
    return Path(os.environ["MMREC_BENCH_DATA"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine; whatever mirror the environment names is not asked."""
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    with running() as made:
        yield made


CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, as `make browser` installs it; tests that open pages are skipped without one."""
    if not CHROMIUM.is_file():
        pytest.skip("no Chromium: make browser")
    from playwright.sync_api import sync_playwright

    silent = ("background-networking", "component-update", "sync", "gpu")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", *(f"--disable-{name}" for name in silent)]
        )
        yield opened
        opened.close()
