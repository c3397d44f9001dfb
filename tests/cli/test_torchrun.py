"""Runs whose model several processes train, as torchrun starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from mmrec_bench.cli import app as cli
from tests.experiments.conftest import write_config, write_world
from tests.experiments.shop import write_shop
from tests.ports import free_ports

RUN = ["-m", "mmrec_bench", "run"]
LONG = ["--set", "trainer.max_epochs=40", "--set", "trainer.patience=40", "--set", "trainer.checkpoint_seconds=0"]


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    whole = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], env=whole, stdout=pipe, stderr=pipe, text=True)


def by_two(*arguments: str) -> list[tuple[int, str, str]]:
    """Run a command as two processes; return exit code, output and errors of each."""
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_ports(1)[0]}
    processes = [started(*arguments, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in range(2)]
    try:
        told = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]


def facts_of(out: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    (manifest,) = out.glob("tiny/*/*/seed-*/manifest.json")
    metrics = json.loads((manifest.parent / "metrics.json").read_text())
    return manifest.parent, json.loads(manifest.read_text()), metrics


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_two_processes_make_the_run_of_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_world(tmp_path)
    config = str(write_config(tmp_path, "mgcn, n_neighbors: 3"))
    leader, other = by_two(*RUN, config, "--device", "cpu", "--out", str(tmp_path / "two"))
    assert leader[0] == other[0] == 0, (leader, other)
    assert "tiny: accuracy" in leader[1]
    assert other[1] == ""
    assert call(monkeypatch, "run", config, "--device", "cpu", "--threads", "1", "--out", str(tmp_path / "one")) == 0
    two, manifest, metrics = facts_of(tmp_path / "two")
    one, alone, expected = facts_of(tmp_path / "one")
    assert two.relative_to(tmp_path / "two") == one.relative_to(tmp_path / "one")  # the same run: the same identity
    assert metrics == expected
    weights, wanted = load_file(two / "model.safetensors"), load_file(one / "model.safetensors")
    for name, value in wanted.items():
        assert weights[name].allclose(value, rtol=1e-4, atol=1e-5), name
    assert manifest["data_parallel"] == {"world_size": 2, "backend": "gloo"}
    assert manifest["determinism"] == "seeded"
    assert alone["data_parallel"] is None
    assert alone["determinism"] == "exact"


def test_the_leader_alone_extracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shop(tmp_path)
    monkeypatch.setenv("MMREC_BENCH_FEATURES", str(tmp_path / "features"))
    noted = (
        "import os, pathlib\n"
        "from mmrec_bench.experiments.features import tables\n"
        "extract = tables.extract\n"
        "def note(*arguments):\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'by-' + os.environ['RANK']).touch()\n"
        "    return extract(*arguments)\n"
        "tables.extract = note\n"
        "from mmrec_bench.cli import main\n"
        "main()\n"
    )
    run = ["run", str(tmp_path / "run.yaml"), "--device", "cpu", "--out", str(tmp_path / "runs")]
    leader, other = by_two("-c", noted, *run)
    assert leader[0] == other[0] == 0, (leader, other)
    assert [path.name for path in tmp_path.glob("by-*")] == ["by-0"]
    assert other[1] == ""
    assert len(list(tmp_path.glob("features/shop/text-tfidf-svd/*"))) == 1


@pytest.mark.slow
def test_torchrun_killed_and_resumed_makes_the_run_of_an_unbroken_one(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = str(write_config(tmp_path, "lightgcn"))

    def torchrun(out: str, *options: str) -> subprocess.Popen[str]:
        two = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", *free_ports(1)]
        return started(*two, *RUN, config, "--device", "cpu", "--out", str(tmp_path / out), *LONG, *options)

    whole = torchrun("whole")
    assert whole.wait(timeout=200) == 0, whole.communicate()
    killed = torchrun("killed")
    while not list(tmp_path.glob("killed/.partial/*/checkpoint.safetensors")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    killed.send_signal(signal.SIGTERM)
    assert killed.wait(timeout=60) != 0
    assert not list(tmp_path.glob("killed/tiny/*/*/seed-*"))
    resumed = torchrun("killed", "--resume")
    assert resumed.wait(timeout=200) == 0, resumed.communicate()
    first, second = (facts_of(tmp_path / out)[0] for out in ("whole", "killed"))
    for file in ("metrics.json", "model.safetensors", "per_user.parquet", "rankings.parquet"):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


@pytest.mark.slow
def test_a_model_that_cannot_be_shared_fails_once_and_clearly(tmp_path: Path) -> None:
    write_world(tmp_path)
    config = write_config(tmp_path, "mf")
    sums = (
        "from mmrec_bench.models.retrieval.mf import MF\n"
        "mean = MF.loss\n"
        "MF.loss = lambda self, batch: {name: term * len(batch.users) for name, term in mean(self, batch).items()}\n"
        "from mmrec_bench.cli import main\n"
        "main()\n"
    )
    seeds = ["--seed", "0", "--seed", "1"]
    leader, other = by_two("-c", sums, "run", str(config), *seeds, "--device", "cpu", "--out", str(tmp_path / "runs"))
    assert leader[0] == 1
    assert "FAILED mf, seed 1: was not tried: the processes have parted" in leader[2]
    assert "FAILED mf, seed 0: MF cannot be trained by 2 processes" in leader[2]
    assert "loss term 'bpr'" in leader[2]
    assert "Traceback" not in leader[2] + other[2]
    assert not list((tmp_path / "runs").glob("tiny/*/*/seed-*"))


@pytest.mark.parametrize(
    ("environment", "arguments", "told"),
    [
        ({"WORLD_SIZE": "2"}, ["models"], "WORLD_SIZE is 2, and `models` is for one process"),
        ({"WORLD_SIZE": "two"}, ["run", "CONFIG"], "WORLD_SIZE: must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, ["run", "CONFIG"], "RANK: must be a number from 0 to 1"),
        ({"WORLD_SIZE": "2"}, ["run", "CONFIG"], "process 0 of 2 cannot join.*MASTER_ADDR expected"),
    ],
)
def test_a_broken_environment_is_bad_input(
    environment: dict[str, str],
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    write_world(tmp_path)
    config = str(write_config(tmp_path, "mf"))
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given = [config if argument == "CONFIG" else argument for argument in arguments]
    assert call(monkeypatch, *given, *(["--device", "cpu"] if "CONFIG" in arguments else [])) == 2
    assert re.search(told, capsys.readouterr().err)
