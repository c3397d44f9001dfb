from __future__ import annotations

import errno
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.training import checkpoint
from mmrec_bench.training.checkpoint import CheckpointStore, Origin, TrainingState
from mmrec_bench.training.records import EpochRecord
from mmrec_bench.training.stopping import Progress

ORIGIN = Origin(seed=3, device="cpu", threads=1, torch_version="2.0")


def state(fill: float = 0.5) -> TrainingState:
    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4) + fill
    model = {
        "table": whole,
        "tied": whole,
        "transposed": whole.T,
        "row": whole[1],
        "scalar": torch.tensor(fill),
        "empty": torch.zeros(0, 4),
        "counter": torch.tensor([1, 2**60]),
        "mask": torch.tensor([True, False]),
        "half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    }
    history = (
        EpochRecord(0, 1.25, 0.0, 1.5, 1e-3, 0.1 + 0.2, {"bpr": 0.1 + 0.2}, None),
        EpochRecord(1, 1.5, 0.5, 2.5, 1e-3, 1 / 3, {"bpr": 1 / 3}, {"recall@20": 2 / 3}),
    )
    optimizer = {0: {"step": torch.tensor(2.0), "exp_avg": whole * 2}, 2: {"step": torch.tensor(1.0)}}
    best = {"table": whole + 1, "a/b": torch.ones(1)}
    return TrainingState(model, optimizer, best, Progress(1, 2 / 3, {"recall@20": 2 / 3}, 0), history)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "new" / "folder" / "checkpoint", "run")
    store.save(state(), ORIGIN)
    loaded, expected = store.load(ORIGIN), state()
    assert loaded is not None
    for got, want in ((loaded.model, expected.model), (loaded.best, expected.best)):
        assert sorted(got) == sorted(want)
        assert all(torch.equal(got[name], want[name]) and got[name].dtype == want[name].dtype for name in want)
    assert loaded.optimizer.keys() == expected.optimizer.keys()
    assert torch.equal(loaded.optimizer[0]["exp_avg"], expected.optimizer[0]["exp_avg"])
    assert loaded.optimizer[2]["step"].shape == ()
    assert (loaded.progress, loaded.history) == (expected.progress, expected.history)


def test_before_the_first_validation_nothing_is_best(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    store.save(replace(state(), best={}, progress=Progress()), ORIGIN)
    loaded = store.load(ORIGIN)
    assert loaded is not None
    assert loaded.progress == Progress()
    assert loaded.best == {}


def test_saved_state_is_a_copy(tmp_path: Path) -> None:
    store, saved = CheckpointStore(tmp_path / "checkpoint", "run"), state()
    store.save(saved, ORIGIN)
    loaded = store.load(ORIGIN)
    assert loaded is not None
    store.save(state(9.0), ORIGIN)  # replacing the file does not reach what was loaded from it
    assert torch.equal(loaded.model["table"], saved.model["table"])


def test_no_file_no_state_and_clear_leaves_none(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    assert store.load(ORIGIN) is None
    store.save(state(), ORIGIN)
    (tmp_path / "checkpoint.partial").write_bytes(b"left by a killed writer")
    store.clear()
    store.clear()
    assert list(tmp_path.iterdir()) == []


def test_file_is_plain_safetensors(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    store.save(state(), ORIGIN)
    assert {name.split("/")[0] for name in load_file(tmp_path / "checkpoint")} == {"model", "best", "optimizer"}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    store = CheckpointStore(path, "run")
    store.save(state(), ORIGIN)
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 37), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtefactError, match=r"checkpoint .* cannot be read"):
            store.load(ORIGIN)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    store = CheckpointStore(path, "run")
    store.save(state(), ORIGIN)
    whole = bytearray(path.read_bytes())
    for place in range(0, len(whole), 11):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            loaded = store.load(ORIGIN)
        except ArtefactError:
            continue
        # Bytes without meaning: blanks that align the header; and what is true, by whichever bit, stays true.
        assert whole[place] == ord(" ") or (whole[place], place) == (1, len(whole) - 2)
        assert loaded is not None


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="Delete it to start the run again"):
        CheckpointStore(path, "run").load(ORIGIN)


def test_folders_and_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "foreign")
    for path in (tmp_path, tmp_path / "foreign"):
        with pytest.raises(ArtefactError, match="cannot be read"):
            CheckpointStore(path, "run").load(ORIGIN)


def test_other_schema_versions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 99)
    store.save(state(), ORIGIN)
    monkeypatch.undo()
    with pytest.raises(ArtefactError, match="schema version 99"):
        store.load(ORIGIN)


def test_another_run_is_refused(tmp_path: Path) -> None:
    CheckpointStore(tmp_path / "checkpoint", "run A").save(state(), ORIGIN)
    for exact in (True, False):
        with pytest.raises(ArtefactError, match="'run A' instead of 'run B'"):
            CheckpointStore(tmp_path / "checkpoint", "run B", exact=exact).load(ORIGIN)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (replace(ORIGIN, threads=2), r"threads 1 \(now 2\).*--threads"),
        (replace(ORIGIN, torch_version="2.1"), r"torch_version 2.0 \(now 2.1\)"),
        (replace(ORIGIN, device="cuda"), r"device cpu \(now cuda\)"),
    ],
)
def test_another_environment_is_refused_unless_allowed(tmp_path: Path, origin: Origin, message: str) -> None:
    path = tmp_path / "checkpoint"
    CheckpointStore(path, "run").save(state(), ORIGIN)
    with pytest.raises(ArtefactError, match=message):
        CheckpointStore(path, "run").load(origin)
    assert CheckpointStore(path, "run", exact=False).load(origin) is not None


def test_another_seed_is_refused_always(tmp_path: Path) -> None:
    CheckpointStore(tmp_path / "checkpoint", "run").save(state(), ORIGIN)
    for exact in (True, False):
        with pytest.raises(ArtefactError, match=r"seed 3 \(now 4\)"):
            CheckpointStore(tmp_path / "checkpoint", "run", exact=exact).load(replace(ORIGIN, seed=4))


def test_origin_of_this_process() -> None:
    origin = Origin.here(5, torch.device("cpu"))
    assert origin == Origin(5, "cpu", torch.get_num_threads(), torch.__version__)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    store.save(state(1.0), ORIGIN)
    monkeypatch.setattr(os, function, full)
    with pytest.raises(ResourceError, match=r"cannot write .* MiB\): .*No space left on device.* intact"):
        store.save(state(2.0), ORIGIN)
    monkeypatch.undo()
    loaded = store.load(ORIGIN)
    assert loaded is not None
    assert loaded.model["scalar"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_file_that_cannot_grow_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    """The operating system itself refuses to write more, in the middle of the file."""
    store = CheckpointStore(tmp_path / "checkpoint", "run")
    store.save(state(1.0), ORIGIN)
    big = replace(state(2.0), best={"table": torch.zeros(1 << 20)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ResourceError, match=r"cannot write the checkpoint .*4\.\d MiB.*File too large"):
            store.save(big, ORIGIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    loaded = store.load(ORIGIN)
    assert loaded is not None
    assert loaded.model["scalar"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write the checkpoint"):
        CheckpointStore(tmp_path / "file" / "checkpoint", "run").save(state(), ORIGIN)


def test_interrupted_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        CheckpointStore(tmp_path / "checkpoint", "run").save(state(), ORIGIN)
    assert list(tmp_path.iterdir()) == []
