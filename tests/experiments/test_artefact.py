"""Run folders exist whole or not at all."""

from __future__ import annotations

import errno
import io
import logging
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.experiments.artefact import FILES, RunArtefact, RunKey, find_runs
from mmrec_bench.experiments.building import building, finite, parquet_bytes, run_lock, write_manifest
from mmrec_bench.experiments.folders import MANIFEST

KEY = RunKey("data", "model", "f" * 16, 3)


FACTS = {
    "schema_version": 1, "task": "retrieval", "dataset": "d", "model": "m", "seed": 3, "fingerprints": {},
    "protocol_id": "p", "select_by": "recall@20", "seconds": {}, "n_parameters": {},
}  # fmt: skip


def fill(folder: Path, mark: str = "x") -> None:
    for name in FILES:
        if name != MANIFEST:
            (folder / name).write_text("{}", encoding="utf-8")
    write_manifest(folder, {**FACTS, "mark": mark}, FILES)


@contextmanager
def locked(out: Path, *, keep: bool = False) -> Iterator[Path]:
    with run_lock(KEY, out, wait=False), building(KEY, out, keep=keep) as folder:
        yield folder


def test_a_run_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    final = KEY.folder(tmp_path)
    assert final == tmp_path / "data" / "model" / ("f" * 16) / "seed-3"
    with locked(tmp_path) as folder:
        fill(folder)
        assert not final.exists()
    assert sorted(path.name for path in final.iterdir()) == sorted(FILES)
    assert RunArtefact.load(final).manifest["mark"] == "x"


def test_a_failed_run_leaves_nothing_visible_and_can_keep_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), locked(tmp_path) as folder:
        (folder / "checkpoint").write_text("half", encoding="utf-8")
        raise RuntimeError("boom")
    assert not KEY.folder(tmp_path).exists()
    with locked(tmp_path, keep=True) as folder:
        assert (folder / "checkpoint").read_text(encoding="utf-8") == "half"
        (folder / "checkpoint").unlink()
    with pytest.raises(RuntimeError), locked(tmp_path) as folder:
        assert not list(folder.iterdir())
        raise RuntimeError


def test_a_full_disk_is_a_clear_error_and_the_old_run_stays(tmp_path: Path) -> None:
    with locked(tmp_path) as folder:
        fill(folder, "old")
    with (
        pytest.raises(ResourceError, match=r"the disk is full.*--resume"),
        locked(tmp_path) as folder,
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / MANIFEST))
    assert RunArtefact.load(KEY.folder(tmp_path)).manifest["mark"] == "old"


def test_a_run_made_again_keeps_the_old_one_aside(tmp_path: Path) -> None:
    for mark in ("first", "second", "third"):
        with locked(tmp_path) as folder:
            fill(folder, mark)
    assert RunArtefact.load(KEY.folder(tmp_path)).manifest["mark"] == "third"
    aside = sorted((tmp_path / ".stale").iterdir())
    assert [RunArtefact.load(path).manifest["mark"] for path in aside] == ["first", "second"]
    assert [run.manifest["mark"] for run in find_runs([tmp_path])] == ["third"]


def _hold(root: str, entered: multiprocessing.Event, leave: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    with locked(Path(root)) as folder:
        fill(folder)
        entered.set()
        leave.wait(30)


def test_two_processes_cannot_build_one_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), entered, leave))
    process.start()
    try:
        assert entered.wait(60)
        with pytest.raises(ArtefactError, match="another process"), locked(tmp_path):
            pass
    finally:
        leave.set()
        process.join()
    assert RunArtefact.load(KEY.folder(tmp_path))


def test_broken_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no such run folder"):
        RunArtefact.load(tmp_path / "none")
    with pytest.raises(ArtefactError, match=r"missing: config.yaml, manifest.json"):
        RunArtefact.load(tmp_path)
    with pytest.raises(ArtefactError, match="holds no run"):
        find_runs([tmp_path])
    fill(tmp_path)
    assert RunArtefact.load(tmp_path)
    for name in FILES:
        if name == MANIFEST:
            continue
        fill(tmp_path)
        (tmp_path / name).write_text("{", encoding="utf-8")
        with pytest.raises(ArtefactError, match=f"{name}: was changed or cut short"):
            RunArtefact.load(tmp_path)
    for text, message in (
        ("[1]", "must hold a JSON object"),
        ('{"a": ', "cannot be read"),
        ('{"schema_version": 99}', "schema_version is 99"),
        ('{"schema_version": 1}', "lacks task, dataset"),
    ):
        (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
        with pytest.raises(ArtefactError, match=message):
            RunArtefact.load(tmp_path)


def test_a_metric_that_is_no_number_is_refused() -> None:
    assert finite({"a": 1}) == {"a": 1.0}
    with pytest.raises(ArtefactError, match="not so: b"):
        finite({"a": 1.0, "b": float("nan")})


def test_a_half_copied_run_is_refused_beside_whole_ones(tmp_path: Path) -> None:
    with locked(tmp_path) as folder:
        fill(folder)
    half = tmp_path / "data" / "model" / "half" / "seed-0"
    half.mkdir(parents=True)
    (half / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        ArtefactError, match=r"half/seed-0: not a whole run folder; missing: config.yaml, manifest.json"
    ):
        find_runs([tmp_path])
    (half / "metrics.json").unlink()
    assert len(find_runs([tmp_path])) == 1


def test_a_folder_above_runs_is_not_to_be_deleted(tmp_path: Path) -> None:
    with locked(tmp_path) as folder:
        fill(folder)
    (run,) = find_runs([tmp_path])
    with pytest.raises(ArtefactError, match="not a whole run folder") as caught:
        RunArtefact.load(tmp_path)
    assert "Delete" not in str(caught.value)
    assert str(run.folder) in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtefactError, match="there is none below it"):
        RunArtefact.load(tmp_path / "empty")
    (run.folder / "metrics.json").unlink()
    with pytest.raises(ArtefactError, match=r"missing: metrics.json. Delete it and run again"):
        RunArtefact.load(run.folder)


def test_scores_in_parquet_are_split_by_place_and_come_back_as_they_were() -> None:
    scores = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    table = pd.DataFrame({"user_id": ["a", "b"] * 10_000, "rank": np.arange(20_000), "score": scores})
    content = parquet_bytes(table)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), table)
    columns = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    found = {columns.column(place).path_in_schema: columns.column(place).encodings for place in range(3)}
    assert "BYTE_STREAM_SPLIT" in found["score"]
    assert not any("BYTE_STREAM_SPLIT" in found[name] for name in ("user_id", "rank"))
    assert len(content) < len(table.to_parquet(index=False, compression="zstd", engine="pyarrow"))


def test_who_waits_for_another_process_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held, waits = threading.Event(), threading.Event()

    def other() -> None:
        with run_lock(KEY, tmp_path, wait=False):
            held.set()
            waits.wait(10)

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            waits.set()

    thread, release = threading.Thread(target=other), Release()
    logging.getLogger(building.__module__).addHandler(release)
    thread.start()
    try:
        held.wait(10)
        with run_lock(KEY, tmp_path, wait=True):
            assert not caplog.records[1:]
    finally:
        logging.getLogger(building.__module__).removeHandler(release)
        waits.set()
        thread.join()
    assert caplog.messages == [f"another process is making {KEY.folder(tmp_path)}; waiting for it"]
