"""Runs on a cluster of two nodes that share nothing but the object store; Ray and the nodes are started here."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mmrec_bench.errors import MissingExtraError, ResourceError
from mmrec_bench.experiments.environment import PACKAGE_FOLDER
from mmrec_bench.experiments.executors import ray as ray_module
from mmrec_bench.experiments.executors.node import CACHE_VARIABLE
from mmrec_bench.experiments.executors.ray import RayExecutor
from mmrec_bench.experiments.run import RunSettings

from .suites import Diary, execute, same, write_models, write_suite

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")
MIB = 1 << 20


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A head without CPUs, and a node with a data folder that is empty, so that everything runs there."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cache, data = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("empty-data")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE_FOLDER.parent), before.get("PYTHONPATH", "")])
    small = {"object_store_memory": 100 * MIB, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        os.environ |= {CACHE_VARIABLE: str(cache), "MMREC_BENCH_DATA": str(data)}
        cluster.add_node(num_cpus=2, **small)
        os.environ.clear()
        os.environ |= before
        yield cluster.address, cache
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ |= before


def test_a_cluster_makes_what_one_process_makes(nodes: tuple[str, Path], world: Path, settings: RunSettings) -> None:
    """Also made features that two runs need, a run that fails, and more memory than any node has."""
    address, cache = nodes
    write_models(world)
    suite = write_suite(
        world,
        "popularity",
        "vbpr",
        "{config: mf.yaml, label: diverges, set: [trainer.learning_rate=1e30]}",
        sets="[trainer.max_epochs=1]",
    )
    diary = Diary()
    done = execute(suite, settings, RayExecutor(address, None), diary)
    assert same(done, execute(suite, replace(settings, out=world / "alone"), None, Diary()))
    assert len(done.runs) == 3
    assert [(item.label, item.trace) for item in done.failures] == [("diverges", None)] * 2
    assert sum(line.startswith("features fused") for line in diary.lines) == 1
    assert not (settings.out / ".stale").exists(), "each is counted once"
    assert list((cache / "luggage").rglob("tiny.inter")), "it had to be brought"
    write_suite(world, "mf", seeds="[0]")
    (failure,) = execute(suite, settings, RayExecutor(address, None, run_memory_mib=10**9), Diary()).failures
    assert "no node of the cluster has" in failure.message


@pytest.mark.slow
def test_a_lost_worker_is_tried_again_and_counted_once(
    nodes: tuple[str, Path], world: Path, settings: RunSettings
) -> None:
    """Killed once its checkpoint is there; the second try goes on from it, and ends bit-identical."""
    address, cache = nodes
    write_models(world)
    suite = write_suite(
        world, "mf", seeds="[0]", sets="[trainer.max_epochs=30, trainer.patience=99, trainer.checkpoint_seconds=0]"
    )
    killed: list[int] = []

    def kill() -> None:
        while not list((cache / "runs").rglob("checkpoint.safetensors")):
            time.sleep(0.005)
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if line.startswith("ray::make_remotely") and process.pid not in killed:
                process.kill()
                killed.append(process.pid)

    killer = threading.Thread(target=kill)
    diary = Diary(lambda line: killer.start() if line == "run mf 0" else None)
    done = execute(suite, settings, RayExecutor(address, None), diary)
    killer.join()
    assert killed, "the test must have killed it"
    assert same(done, execute(suite, replace(settings, out=world / "alone"), None, Diary()))
    assert len(done.runs) == 1
    assert not (settings.out / ".stale").exists()


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nobody_listens_is_told_at_once(
    prefix: str, world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"{prefix}127.0.0.1:{taken.getsockname()[1]}"
        write_models(world)
        suite = write_suite(world, "popularity")
        with pytest.raises(ResourceError, match="no Ray cluster can be reached at --address"):
            execute(suite, settings, RayExecutor(address, None), Diary())
    for wrong in ("nonsense", "host:", ":1", "host:port"):
        with pytest.raises(ResourceError, match="must be auto, local, host:port"):
            execute(suite, settings, RayExecutor(prefix + wrong, None), Diary())


def test_an_address_where_something_else_listens_is_told(
    world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_module, "PROBE_SECONDS", 4)
    write_models(world)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ResourceError, match="does not answer as Ray does"):
            execute(write_suite(world, "popularity"), settings, RayExecutor(address, None), Diary())


def test_a_missing_extra_is_named(world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_models(world)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmrec-bench\[distributed\]'"):
        execute(write_suite(world, "popularity"), settings, RayExecutor("auto", None), Diary())
