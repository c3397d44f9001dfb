"""Writing runs and other artefacts: under a lock, in a partial folder, renamed when they are whole."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mmrec_bench import strict_yaml
from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.experiments.folders import MANIFEST, STALE, ArtefactKey, digest_of

logger = logging.getLogger(__name__)


class RunLockedError(ArtefactError):
    """Another process is making the same run."""


@contextmanager
def run_lock(key: ArtefactKey, out: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a run or other artefact, so that two processes never make it at once.

    Args:
        key: What is made.
        out: Root of all artefacts.
        wait: Whether to wait for another process; that it waits is logged as a warning.

    Raises:
        RunLockedError: Another process holds it, and ``wait`` is false.
        ResourceError: The folder is not writable.
    """
    partial = key.partial(out)
    lock = filelock.FileLock(partial.with_name(partial.name + ".lock"))
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, str(key.folder(out)), wait=wait)
    except OSError as error:
        raise disk_error(partial, error) from None
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, what: str, *, wait: bool) -> None:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not wait:
            raise RunLockedError(
                f"another process is making {what}; wait for it, or stop it and run again with --resume"
            ) from None
        logger.warning("another process is making %s; waiting for it", what)
        lock.acquire()


@contextmanager
def building(key: ArtefactKey, out: Path, *, keep: bool) -> Iterator[Path]:
    """Lend the partial folder of an artefact, whose lock is held; on success move it to its place.

    Args:
        key: What is made.
        out: Root of all artefacts.
        keep: Whether what an interrupted process left there (checkpoints) is kept.

    Raises:
        ResourceError: The disk is full or not writable; nothing of the artefact is visible then.
    """
    partial = key.partial(out)
    try:
        if partial.exists() and not keep:
            shutil.rmtree(partial)
        partial.mkdir(exist_ok=True)
        yield partial
        _move_into_place(partial, key, out)
    except OSError as error:
        raise disk_error(partial, error) from None


def _move_into_place(partial: Path, key: ArtefactKey, out: Path) -> None:
    for path in partial.iterdir():  # a rename must never become durable before the bytes it names
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    final = key.folder(out)
    if final.exists():  # made by other code, or damaged: kept aside, never deleted
        n = 0
        while (aside := out / STALE / f"{key.name}-{n}").exists():
            n += 1
        aside.parent.mkdir(parents=True, exist_ok=True)
        final.rename(aside)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)


def disk_error(path: Path, error: OSError) -> ResourceError:
    """Return our error for one of the file system's."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error)
    reason = "the disk is full" if full else error.strerror or str(error)
    return ResourceError(
        f"cannot write {error.filename or path}: {reason}. The run is not saved; earlier runs are untouched. "
        "Make room or name another folder with --out, then run again with --resume"
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON; see `json_text`."""
    path.write_text(json_text(content), encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """Return strict JSON (no NaN)."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_manifest(folder: Path, facts: Mapping[str, Any], files: Sequence[str]) -> None:
    """Write the manifest last, with the digests of all other files."""
    digests = {name: digest_of(folder / name) for name in files if name != MANIFEST}
    write_json(folder / MANIFEST, {**facts, "files": digests})


def write_history(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON line an epoch."""
    path.write_text("".join(json.dumps(record, allow_nan=False) + "\n" for record in records), encoding="utf-8")


def write_config(path: Path, config: Mapping[str, Any], comment: str) -> None:
    """Write a resolved configuration as YAML under a comment that says how to run it."""
    path.write_text(f"# {comment}\n" + strict_yaml.dump(dict(config)), encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet; see `parquet_bytes`."""
    path.write_bytes(parquet_bytes(table))


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as zstd-compressed parquet.

    Scores (float32) hardly repeat: their bytes are split by place, in which they pack smaller.
    """
    scores = [str(name) for name, dtype in table.dtypes.items() if dtype == np.float32]
    others = [str(name) for name in table.columns if name not in scores]
    buffer = io.BytesIO()
    encodings: dict[str, Any] = {"use_dictionary": others, "use_byte_stream_split": scores}
    table.to_parquet(buffer, index=False, compression="zstd", compression_level=9, **encodings)
    return buffer.getvalue()


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors.

    Raises:
        OSError: The file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # its own class hides the number of the system's error
        raise OSError(errno.EIO, str(error), str(path)) from None


def keep_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors to a file that appears whole or not at all.

    Raises:
        ResourceError: The file cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(partial, state)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(path, error) from None


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return plain floats, checked.

    Raises:
        ArtefactError: A value is not finite: a metric is a number or is not there.
    """
    plain = {name: float(value) for name, value in values.items()}
    if bad := [name for name, value in plain.items() if not math.isfinite(value)]:
        raise ArtefactError(f"metrics must be finite numbers; not so: {', '.join(bad)}")
    return plain
