from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.training import checkpoint
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import EpochRecord
from mmrec_bench.training.schedules import CosineSchedule
from mmrec_bench.training.steps import MirrorGradientStep

CONFIGS = {
    "plain": TrainerConfig(learning_rate=0.02, batch_size=64, max_epochs=12, patience=3, checkpoint_seconds=0),
    "tricks": TrainerConfig(
        learning_rate=0.02,
        optimizer="adamw",
        weight_decay=0.01,
        batch_size=50,
        max_epochs=12,
        validate_every=3,
        patience=2,
        schedule=CosineSchedule(warmup_epochs=3),
        step=MirrorGradientStep(clip_norm=0.5),
        checkpoint_seconds=0,
    ),
    "descent": TrainerConfig(optimizer="sgd", learning_rate=0.3, batch_size=64, max_epochs=8, checkpoint_seconds=0),
}


class KilledError(Exception):
    pass


class Killer:
    """Raises once: at a batch, or at the end of an epoch, when its checkpoint is not yet written."""

    def __init__(self, epoch: int, batch: int | None) -> None:
        self.epoch, self.batch = epoch, batch
        self.done_before: int | None = None

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        self.done_before = len(history)

    def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
        if (epoch, batch) == (self.epoch, self.batch):
            raise KilledError

    def on_epoch(self, record: EpochRecord) -> None:
        if self.batch is None and record.epoch == self.epoch:
            raise KilledError


@pytest.mark.parametrize("name", ["mf", "random"])
@pytest.mark.parametrize("kind", list(CONFIGS))
def test_killed_and_resumed_ends_bit_identical(toy: ModuleType, tmp_path: Path, name: str, kind: str) -> None:
    config = CONFIGS[kind]
    expected = toy.outcome(*toy.run(name, config))
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    dice = random.Random(f"{name}/{kind}")
    kills = sorted(dice.sample(range(expected["epochs"][0]), 4))
    for number, epoch in enumerate(kills):
        killer = Killer(epoch, dice.choice([None, 0, 2]))
        with pytest.raises(KilledError):
            toy.run(name, config, checkpoints=store, observer=killer, resume=True)
        assert killer.done_before == (kills[number - 1] if number else 0)  # it went on, and did not begin again
    assert toy.outcome(*toy.run(name, config, checkpoints=store, resume=True)) == expected


def test_patience_is_counted_across_a_kill(toy: ModuleType) -> None:
    """The configurations above must end by patience and by epochs, or the counters would not be tested."""
    ends = {toy.run(name, config)[1].stopped_by for name in ("mf", "random") for config in CONFIGS.values()}
    assert ends == {"patience", "max_epochs"}


def test_killed_after_the_last_epoch_only_restores(toy: ModuleType, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    expected = toy.outcome(*toy.run("random", CONFIGS["plain"], checkpoints=store))
    watch = Killer(-1, 0)
    assert toy.outcome(*toy.run("random", CONFIGS["plain"], checkpoints=store, resume=True, observer=watch)) == expected
    assert watch.done_before == expected["epochs"][0]


def test_without_resume_an_old_checkpoint_is_not_read(toy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"damaged")
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    watch = Killer(-1, 0)
    toy.run("mf", CONFIGS["plain"], checkpoints=store, observer=watch)
    assert watch.done_before == 0
    (tmp_path / "checkpoint").write_bytes(b"damaged")
    with pytest.raises(ArtefactError):
        toy.run("mf", CONFIGS["plain"], checkpoints=store, resume=True)


def test_nothing_to_resume_starts_at_the_beginning(toy: ModuleType, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    expected = toy.outcome(*toy.run("mf", CONFIGS["plain"]))
    assert toy.outcome(*toy.run("mf", CONFIGS["plain"], checkpoints=store, resume=True)) == expected


def test_checkpoint_seconds_bounds_how_often(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(CheckpointStore, "save", lambda self, state, origin: saved.append(len(state.history)))
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    config = TrainerConfig(max_epochs=6, patience=100, checkpoint_seconds=1e9)
    toy.run("mf", config, checkpoints=store)
    assert saved == []
    toy.run("mf", config.model_copy(update={"checkpoint_seconds": 0.0}), checkpoints=store)
    assert saved == [1, 2, 3, 4, 5, 6]
    saved.clear()
    ticks = iter(range(0, 1000, 4))  # four seconds an epoch, and the clock is read once more after each saving
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    toy.run("mf", config.model_copy(update={"checkpoint_seconds": 6.0}), checkpoints=store)
    assert saved == [2, 4, 6]


def test_interrupt_leaves_the_last_checkpoint(toy: ModuleType, tmp_path: Path) -> None:
    class Interrupt(Killer):
        def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
            if epoch == 4:
                raise KeyboardInterrupt

    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    with pytest.raises(KeyboardInterrupt):
        toy.run("mf", CONFIGS["plain"], checkpoints=store, observer=Interrupt(0, 0))
    watch = Killer(-1, 0)
    model, result = toy.run("mf", CONFIGS["plain"], checkpoints=store, resume=True, observer=watch)
    assert watch.done_before == 4
    assert toy.outcome(model, result) == toy.outcome(*toy.run("mf", CONFIGS["plain"]))


def test_full_disk_in_the_middle_can_be_resumed(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    write, calls = checkpoint.save_file, []

    def full_at_the_fourth(*arguments: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        write(*arguments, **options)

    monkeypatch.setattr(checkpoint, "save_file", full_at_the_fourth)
    with pytest.raises(ResourceError, match="No space left on device"):
        toy.run("random", CONFIGS["plain"], checkpoints=store)
    watch = Killer(-1, 0)
    model, result = toy.run("random", CONFIGS["plain"], checkpoints=store, resume=True, observer=watch)
    assert watch.done_before == 3
    assert toy.outcome(model, result) == toy.outcome(*toy.run("random", CONFIGS["plain"]))


def test_another_thread_count_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "toy")
    with pytest.raises(KilledError):
        toy.run("mf", CONFIGS["plain"], checkpoints=store, observer=Killer(2, 0))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(ArtefactError, match=rf"threads {threads} \(now {threads + 1}\)"):
            toy.run("mf", CONFIGS["plain"], checkpoints=store, resume=True)
        inexact = CheckpointStore(tmp_path / "checkpoint", "toy", exact=False)
        assert toy.run("mf", CONFIGS["plain"], checkpoints=inexact, resume=True)[1].epochs_run > 2
    finally:
        torch.set_num_threads(threads)


def test_checkpoint_of_another_model_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "the same identity by mistake")
    toy.run("mf", CONFIGS["plain"], checkpoints=store)
    with pytest.raises(ArtefactError, match="does not fit the model"):
        toy.run("random", CONFIGS["plain"], checkpoints=store, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mf", "random"])
def test_sigkill_at_random_moments(toy: ModuleType, tmp_path: Path, name: str) -> None:
    config = CONFIGS["tricks"].model_copy(update={"max_epochs": 500, "patience": 500})
    expected = json.loads(json.dumps(toy.outcome(*toy.run(name, config))))
    command = [sys.executable, toy.__file__, name, config.model_dump_json(), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    dice, kills = random.Random(name), 0
    while not (tmp_path / "outcome.json").exists():
        process = subprocess.Popen(command, env=environment)
        before = (tmp_path / "checkpoint").stat().st_mtime_ns if (tmp_path / "checkpoint").exists() else 0
        while process.poll() is None:
            moved = (tmp_path / "checkpoint").exists() and (tmp_path / "checkpoint").stat().st_mtime_ns != before
            if moved and kills < 4:
                time.sleep(dice.uniform(0, 0.5))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            time.sleep(0.001)
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills >= 3
    assert json.loads((tmp_path / "outcome.json").read_text()) == expected
