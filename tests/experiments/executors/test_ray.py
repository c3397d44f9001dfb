"""Runs on a cluster of two nodes that share nothing but the object store; Ray and the nodes are started here."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from mmrec_bench.data.kcore import k_core
from mmrec_bench.data.preparing import by_tasks
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.data.raw.store import Store
from mmrec_bench.errors import DataError, MissingExtraError, ResourceError
from mmrec_bench.experiments.environment import PACKAGE_FOLDER, use_threads
from mmrec_bench.experiments.executors import ray as ray_module
from mmrec_bench.experiments.executors import ray_tasks
from mmrec_bench.experiments.executors.demand import Demand
from mmrec_bench.experiments.executors.node import CACHE_VARIABLE
from mmrec_bench.experiments.executors.ray import RayExecutor, connected
from mmrec_bench.experiments.executors.ray_tasks import RayTasks
from mmrec_bench.experiments.executors.shards import RankOnRay
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.resources import bundled
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.retrieval.shards import ShardedRetriever
from tests.data.preparing import small

from .suites import Diary, Killer, children, execute, last_checkpoint, same, write_models, write_suite

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
    os.environ["RAY_TMPDIR"] = "/tmp"  # a socket's path may have 107 letters
    cluster = cluster_utils.Cluster()
    try:
        cluster.add_node(wait=False, num_cpus=0, **small)
        os.environ |= {CACHE_VARIABLE: str(cache), "MMREC_BENCH_DATA": str(data)}
        cluster.add_node(wait=False, num_cpus=2, **small)
        cluster.wait_for_nodes(120)
        os.environ.clear()
        os.environ |= before
        yield cluster.address, cache
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ |= before


@pytest.fixture(autouse=True)
def _as_a_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more threads than CPUs of the node, and time enough for a busy machine."""
    use_threads(min(2, torch.get_num_threads()))
    monkeypatch.setattr(ray_module, "PROBE_SECONDS", 120)


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
    with Killer(lambda: children("ray::make_remotely") if last_checkpoint(cache / "runs") else []) as killer:
        diary = Diary(lambda line: killer.start() if line == "run mf 0" else None)
        done = execute(suite, settings, RayExecutor(address, None), diary)
    assert killer.killed, "the test must have killed it"
    assert same(done, execute(suite, replace(settings, out=world / "alone"), None, Diary()))
    assert len(done.runs) == 1
    assert not (settings.out / ".stale").exists()


def test_shards_on_the_cluster_give_the_bits_of_one_process(nodes: tuple[str, Path]) -> None:
    """Rankings by both back-ends, and a k-core."""
    rng = np.random.default_rng(0)
    vectors = Representations(*(torch.from_numpy(rng.normal(size=(n, 9)).astype(np.float32)) for n in (300, 50_000)))
    seen = scipy.sparse.random(300, 50_000, density=0.001, format="csr", random_state=0)
    asked = (vectors, np.arange(0, 300, 2), 20, Exclusions.of(seen), rng.permutation(50_000))
    rows = np.random.default_rng(1).integers(0, 40, (2, 500)).astype(np.str_)
    with connected(nodes[0]):
        for backend in ("faiss", "torch"):
            config = RetrieverConfig(backend=backend)
            inner = build_retriever(config, torch.device("cpu"))
            assert len(inner.windows(*asked)) > 1
            calls: list[int] = []

            def counted(*told: Any, config: RetrieverConfig = config, calls: list[int] = calls) -> list[Rankings]:
                calls.append(len(told[1]))
                return RankOnRay(config, torch.get_num_threads())(*told)

            one, other = (each.top_k(*asked) for each in (inner, ShardedRetriever(inner, 3, counted)))
            assert calls
            assert np.array_equal(one.items, other.items)
            assert np.array_equal(one.scores, other.scores)
            assert one.served == other.served
        spread = k_core([(rows[0, :200], rows[1, :200]), (rows[0, 200:], rows[1, 200:])], 9, 9, RayTasks())
    alone = k_core([(rows[0], rows[1])], 9, 9)
    assert spread.steps == alone.steps
    assert len(alone.steps) > 2, "more than one step"
    assert np.array_equal(spread.kept, alone.kept)
    assert spread.user_ids.tolist() == alone.user_ids.tolist()
    assert np.array_equal(spread.users, alone.users)


@pytest.mark.slow
def test_raw_files_are_prepared_by_tasks(
    nodes: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head reads the raw files and has no CPU, so that every shard is worked on by the other node."""
    monkeypatch.setattr("mmrec_bench.data.raw.files.BLOCK", 1 << 12)
    monkeypatch.setattr("mmrec_bench.data.raw.lines.BATCH", 1 << 14)
    raw = small.write(tmp_path / "raw")
    alone = prepare(small.card_of(), raw, tmp_path / "alone")
    with connected(nodes[0]):
        tasks = RayTasks()
        assert tasks.at_once == 2
        made = prepare(small.card_of(), raw, tmp_path / "made", Means(256, tasks=tasks, n_shards=3))
        with pytest.raises(DataError, match="duckdb: "):
            tasks.get([tasks.call(fails_as_duckdb)])
        with pytest.raises(ResourceError, match=r"a task failed on the cluster \(ZeroDivisionError: "):
            tasks.get([tasks.call(divides, 1, 0)])
        with pytest.raises(ResourceError, match="no node of the cluster has the 3 CPUs and 0 MiB of a task; there"):
            RayTasks(Demand(3, 0))
        told = r"node .+: preparing needs more than the 7 MiB it may use \(.+\)\. Raise --memory, or ask"
        with pytest.raises(ResourceError, match=told):
            tasks.get([tasks.call(runs_out_of_memory)])
        monkeypatch.setattr(ray_tasks, "_versions", lambda: '{"duckdb": "0.0"}')
        with pytest.raises(ResourceError, match=r"has duckdb [1-9.]+[0-9.]* instead of 0\.0, as where the command"):
            tasks.get([tasks.call(divides, 1, 1)])
    assert small.files(made.folder) == small.files(alone.folder)


def divides(one: int, other: int) -> float:
    return one / other


def runs_out_of_memory() -> None:
    with by_tasks._store({"memory_mib": 7}) as store:
        store.run("SELECT len(list(range)) FROM range(10_000_000)")


def fails_as_duckdb() -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder), 256, 1) as store:
        store.run("SELECT * FROM nothing")


@pytest.mark.slow
def test_a_run_may_be_evaluated_in_shards(nodes: tuple[str, Path], tmp_path: Path, settings: RunSettings) -> None:
    """The run is a task, and its shards are tasks; the embedded world has users of short and of long histories."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "schema_version: 1\ntitle: Shards\nseeds: [0]\nset: [trainer.max_epochs=1]\n"
        f"experiments: [{{config: {bundled('configs') / 'synthetic' / 'mf.yaml'}}}]\n",
        encoding="utf-8",
    )
    done = execute(suite, settings, RayExecutor(nodes[0], None, shards=3), Diary())
    assert same(done, execute(suite, replace(settings, out=tmp_path / "alone"), None, Diary()))
    assert len(done.runs) == 1


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


def test_no_cluster_of_this_machine_is_told(
    world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a cluster that is gone has left its address."""
    write_models(world)
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        gone.listen()
        monkeypatch.setattr(ray_module, "PROBE_SECONDS", 4)
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{gone.getsockname()[1]}")
        with pytest.raises(ResourceError, match="no Ray cluster can be reached at --address auto"):
            execute(write_suite(world, "popularity"), settings, RayExecutor("auto", None), Diary())


def test_a_missing_extra_is_named(world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_models(world)
    with pytest.raises(MissingExtraError, match=r"pip install 'mmrec-bench\[distributed\]'"):
        execute(write_suite(world, "popularity"), settings, RayExecutor("auto", None), Diary())
