"""Runs as tasks of a Ray cluster whose nodes share no disk.

Everything that is handed to Ray, and that comes back, is text, bytes or numbers: Ray serialises these for the transport
between our own processes, and no Python object of ours is ever pickled to a file or read from one.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmrec_bench.errors import MMRecBenchError, ResourceError
from mmrec_bench.experiments.executors.demand import RETRIES, Demand
from mmrec_bench.experiments.executors.luggage import DATA, Luggage, luggage_of
from mmrec_bench.experiments.executors.memory import Expected, expected
from mmrec_bench.experiments.executors.node import make_here, receive
from mmrec_bench.experiments.executors.packing import pack, pack_folder
from mmrec_bench.experiments.executors.schedule import Schedule
from mmrec_bench.experiments.executors.task import Task
from mmrec_bench.experiments.folders import MANIFEST, read_json
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.suite import PlannedRun, Result, SuiteObserver
from mmrec_bench.extras import import_ray

PROBE_SECONDS = 30
"""How long an address may take to answer."""

_PROBE = "import logging, sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Makes every run as one task of a cluster (implements `Executor`).

    A task declares the threads of a run as CPUs, a GPU where the device is CUDA, and its memory. Data, and artefacts
    that a run needs, travel through the object store; data of bundled cards may come from a URL instead. The run folder
    comes back as bytes, is checked, and is moved into place here: once, however often the task was tried.

    Args:
        address: ``auto``, ``local`` (a cluster of this machine alone, for a trial), ``host:port`` or ``ray://host:port``.
        data_dir: Where data folders lie here.
        run_memory_mib: Memory of each run; by default what it was measured or is expected to take.
        data_url: Where the nodes find the data folders, for fsspec, such as ``s3://bucket/data``.
        device: What the nodes compute on, ``cpu`` or ``cuda``; this machine need not have it.
        shards: Shards of users that retrieval is evaluated in, each a task.
    """

    address: str
    data_dir: Path | None
    run_memory_mib: int | None = None
    data_url: str | None = None
    device: str = "cpu"
    shards: int = 1

    def results(
        self, planned: Sequence[PlannedRun], settings: RunSettings, observer: SuiteObserver, reuse_stale: bool
    ) -> list[Result]:
        """Make every run that is not there; see `Executor`."""
        schedule = Schedule(planned, settings, observer, reuse_stale)
        if schedule.open:
            with connected(self.address) as ray:
                there = replace(settings, device=torch.device(self.device), evaluation_shards=self.shards)
                work = _Work(self, ray, schedule, there)
                while schedule.open:
                    work.submit()
                    work.hear()
        return schedule.results()


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Lend the module of Ray, connected to a cluster; leave the cluster again if it was this that connected.

    Args:
        address: As of `RayExecutor`.

    Raises:
        MissingExtraError: Ray is not installed.
        ResourceError: The address cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    _check(address)
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        raise _unreachable(address, str(error).partition("\n")[0]) from None
    try:
        yield ray
    finally:
        ray.shutdown()  # ends the tasks that are still going on, too


class _Work:
    """The state of one call of `RayExecutor.results`."""

    def __init__(self, executor: RayExecutor, ray: Any, schedule: Schedule, settings: RunSettings) -> None:
        self._executor, self._ray, self._schedule, self._settings = executor, ray, schedule, settings
        self._remote = ray.remote(make_remotely)
        self._going: dict[Any, tuple[Task, float]] = {}
        self._parcels: dict[str, Any] = {}

    def submit(self) -> None:
        """Hand every task that can start to the cluster, which decides where and when."""
        for task in self._schedule.ready():
            try:
                order = self._order(task)
                options = self._options(task)
            except MMRecBenchError as error:
                self._schedule.fail(task, str(error))
                continue
            names = [*order["needs"], *([order["luggage"]["parcel"]] if order["luggage"]["parcel"] else [])]
            parcels = {name: self._parcels[name] for name in names}
            self._schedule.start(task)
            reference = self._remote.options(**options).remote(json.dumps(order), parcels)
            self._going[reference] = (task, time.perf_counter())

    def hear(self) -> None:
        """Wait for a task, and move what it has made into place."""
        if not self._going:
            return
        (reference,), _ = self._ray.wait(list(self._going), num_returns=1)
        task, started = self._going.pop(reference)
        try:
            text, packed = self._ray.get(reference)
            answer = json.loads(text)
            if "done" in answer:
                receive(packed, task.key, self._settings.out)
        except self._ray.exceptions.RayTaskError as error:
            answer = {"error": f"{type(error.cause).__name__}: {error.cause}", "trace": str(error)}
        except self._ray.exceptions.RayError as error:
            told = str(error).strip().partition("\n")[0]
            answer = {
                "error": f"was lost on the cluster, {RETRIES} more tries included ({type(error).__name__}: {told}). "
                "Look at `ray logs`; a node needs this version of mmrec-bench, and memory for what a run declares",
                "trace": None,
            }
        except MMRecBenchError as error:
            answer = {"error": str(error), "trace": None}
        if "done" in answer:
            self._schedule.end(task, f" ({time.perf_counter() - started:.1f} s, with waiting)")
        else:
            self._schedule.fail(task, answer["error"], answer["trace"])

    def _order(self, task: Task) -> dict[str, Any]:
        """Return the order of a task, whose parcels are put into the object store, each once."""
        order, luggage = order_of(task, self._settings, self._executor.data_dir, self._executor.data_url)
        parcel = order["luggage"]["parcel"]
        if parcel is not None and parcel not in self._parcels:
            files = {name: path for name, path in luggage.files.items() if name not in order["luggage"]["fetched"]}
            self._parcels[parcel] = self._ray.put(pack(files))
        for name in task.needs:
            if name not in self._parcels:
                folder = self._settings.out / name
                names = [*read_json(folder / MANIFEST)["files"], MANIFEST]
                self._parcels[name] = self._ray.put(pack_folder(folder, names))
        return order

    def _options(self, task: Task) -> dict[str, Any]:
        """Return what a task declares.

        Raises:
            ResourceError: No node of the cluster has as much, so that it would wait for ever.
        """
        wanted: Expected = expected(task, self._settings.out, self._executor.run_memory_mib)
        gpus = 1 if self._settings.device.type == "cuda" else 0
        demand = Demand(self._settings.threads, wanted.mib, gpus)
        told = f"{self._settings.threads} CPUs, {gpus} GPUs and {wanted}"
        demand.check(told, "Lower --threads or declare --run-memory")
        return demand.options


def make_remotely(text: str, parcels: Mapping[str, Any]) -> tuple[str, bytes]:
    """Carry out an order on a node; parcels are fetched when they are asked for."""
    ray = import_ray()
    answer, packed = make_here(json.loads(text), lambda name: bytes(ray.get(parcels[name])))
    return json.dumps(answer), packed


def order_of(
    task: Task, settings: RunSettings, data_dir: Path | None, data_url: str | None
) -> tuple[dict[str, Any], Luggage]:
    """Return what a node is told, as of `make_here`, and the files that travel with it."""
    order = task.order(settings)
    luggage = luggage_of(order["config" if "config" in order else "features"], data_dir)
    fetched = [name for name in luggage.files if data_url is not None and name.startswith(f"{DATA}/")]
    told = {
        "fingerprint": luggage.fingerprint,
        "digests": luggage.digests,
        "places": luggage.places,
        "parcel": f"luggage/{luggage.fingerprint}" if len(luggage.files) > len(fetched) else None,
        "fetched": fetched,
        "url": data_url,
    }
    return order | {"needs": list(task.needs), "luggage": told}, luggage


def _check(address: str) -> None:
    """Refuse an address that nobody, or somebody else, listens at: Ray itself waits for minutes, then ends the process.

    Raises:
        ResourceError: The address cannot be reached.
    """
    if address == "local":
        return
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            raise ResourceError(f"--address must be auto, local, host:port or ray://host:port; got '{address}'")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS / 4).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, str(error)) from None
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(address, "what listens there does not answer as Ray does") from None
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2] or "what listens there does not answer as Ray does"
        raise _unreachable(address, why)


def _unreachable(address: str, why: str) -> ResourceError:
    return ResourceError(
        f"no Ray cluster can be reached at --address {address}: {why}. Start one with `ray start --head`, give its "
        "address, or use --address local"
    )
