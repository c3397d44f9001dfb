from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.models.base import Pairs, Triplets
from mmrec_bench.models.ranking.base import ListBatch, ListInputs
from mmrec_bench.training.checkpoint import CheckpointStore, Origin
from mmrec_bench.training.team import ALONE, Group, cut, rows_of
from tests.ports import free_ports
from tests.training.shared import TOYS, cases, trained

ROOT = Path(__file__).parents[2]
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Tolerance of what becomes of a model: of the largest number of a tensor, and of any number."""

FEW = (
    "mf-released", "mgcn-clean", "alignrec-clean", "bm3-clean", "lgmrec-released", "mlp-listmle", "pair-debias",
    "din-ctr-0.3", "magus", "mirrored", "unbroken", "resumed",
)  # fmt: skip
"""A case of every kind of loss and of draw; the others are tried by a slow test."""


def by_two(program: str, arguments: Sequence[str], port: str, codes: Sequence[int] = (0, 0)) -> None:
    """Run a program as two processes that find each other."""
    started = []
    for rank in range(2):
        place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-m", f"tests.training.{program}", *arguments]
        environment = {**os.environ, **place, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        told = [process.communicate(timeout=500)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == list(codes), told


def shared(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what two processes made of cases."""
    by_two("shared", [str(folder), *names], *free_ports(1))
    return [json.loads((folder / f"2-{rank}.json").read_text()) for rank in range(2)]


def close(one: Sequence[float], other: Sequence[float]) -> bool:
    first, second = np.array(one), np.array(other)
    if first.shape != second.shape:
        return False
    return bool(np.abs(first - second).max(initial=0.0) <= RELATIVE * np.abs(first).max(initial=0.0) + ABSOLUTE)


def unlike_alone(name: str, case: Any, found: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Return how two processes came to other bits than each other, or out of the tolerance of what one comes to."""
    first, second = (each[name] for each in found)
    if "refused" in first:
        return [f"{name} was refused: {first['refused']}"]
    alone = trained(case, ALONE, folder)
    before = {key: value.double().flatten().tolist() for key, value in case.make()[0].state_dict().items()}
    told = {
        "the two processes came to different models": first != second,
        "losses": not close(alone["losses"], first["losses"]),
        **{key: not close(values, first["state"][key]) for key, values in alone["state"].items()},
        "nothing was learned": all(close(before[key], values) for key, values in alone["state"].items()),
    }
    return [f"{name}: {what}" for what, differs in told.items() if differs]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return shared(tmp_path_factory.mktemp("shared"), [*FEW, *TOYS])


@pytest.mark.parametrize("name", [name for name in FEW if name != "resumed"])
def test_two_processes_train_the_model_of_one(name: str, few: list[dict[str, Any]], tmp_path: Path) -> None:
    assert unlike_alone(name, dict(cases())[name], few, tmp_path) == []


def test_resumed_training_ends_as_if_never_broken_off(few: list[dict[str, Any]]) -> None:
    assert few[0]["resumed"] == few[0]["unbroken"]
    assert len(few[0]["unbroken"]["valid"]) >= 5  # it was broken off at epoch 3, and went on


@pytest.mark.parametrize("name", list(TOYS))
def test_what_would_be_another_model_is_refused_by_all(name: str, few: list[dict[str, Any]]) -> None:
    for found in few:
        assert "cannot be trained by 2 processes" in found[name]["refused"]
    because = {"own-draw": "random numbers drawn", "own-contrast": "contrast", "batch-norm": "align"}
    assert because[name] in few[0][name]["refused"]


@pytest.mark.slow
def test_every_registered_model_is_shared(tmp_path: Path) -> None:
    found = shared(tmp_path, [])
    named = {name: case for name, case in cases() if name not in TOYS and not case.interrupted}
    assert len(named) > 60
    for name, case in named.items():
        assert unlike_alone(name, case, found, tmp_path) == []


def test_a_lost_process_is_told_and_never_waited_for(tmp_path: Path) -> None:
    ports = free_ports(3)
    by_two("lost", [str(tmp_path), *ports], ports[0], codes=(0, 3))
    leader, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    for way in ("memory", "hangs", "dies"):
        kind, message, seconds = leader[way]
        assert kind == "TrainingError"
        assert "another process of this training has ended" in message
        assert "--resume" in message
        assert seconds < 30
    assert other["memory"][0] == "ResourceError"
    assert "trainer.batch_size" in other["memory"][1]


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_never_come_are_an_error(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", free_ports(1)[0])
    with pytest.raises(ResourceError, match=f"process {rank} of 2 cannot join.*torchrun"):
        Group(rank, 2, torch.device("cpu"), timedelta(seconds=1), timedelta(seconds=1))


def test_no_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ResourceError, match="MASTER_ADDR expected"):
        Group(0, 2, torch.device("cpu"))


def test_a_batch_is_cut_in_all_its_parts() -> None:
    rows = torch.arange(5)
    assert rows_of(Pairs(rows, rows)) == 5
    part = cut(Triplets(rows, rows + 10, rows + 20), slice(1, 3))
    assert [part.users.tolist(), part.positives.tolist(), part.negatives.tolist()] == [[1, 2], [11, 12], [21, 22]]
    table = torch.arange(10).view(5, 2)
    lists = ListBatch(ListInputs(rows, table, table > 0, table), positions=table, labels=table)
    part = cut(lists, slice(3, 5))
    assert rows_of(part) == 2
    assert part.inputs.items.tolist() == [[6, 7], [8, 9]]
    assert part.clicks is None
    assert part.inputs.features is None
    assert part.labels is not None
    assert part.labels.tolist() == [[6, 7], [8, 9]]


def test_checkpoint_of_another_number_of_processes_is_refused(toy: Any, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    config = {"max_epochs": 2, "checkpoint_seconds": 0, "batch_size": 64}
    toy.run("mf", toy.TrainerConfig(**config), checkpoints=store)
    here = Origin.here(3, torch.device("cpu"))
    assert store.load(here) is not None
    with pytest.raises(ArtefactError, match=r"processes 1 \(now 2\)"):
        store.load(Origin.here(3, torch.device("cpu"), processes=2))
