"""A run as a folder of facts: written whole or not at all, read back with checks."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
from safetensors.torch import save_file
from torch import Tensor

from mmrec_bench import strict_yaml
from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.settings import load_yaml

SCHEMA_VERSION = 1
CONFIG, MANIFEST, METRICS, HISTORY = "config.yaml", "manifest.json", "metrics.json", "history.jsonl"
PER_USER, RANKINGS, WEIGHTS = "per_user.parquet", "rankings.parquet", "model.safetensors"
FILES = (CONFIG, MANIFEST, METRICS, HISTORY, PER_USER, RANKINGS, WEIGHTS)
PARTIAL, STALE = ".partial", ".stale"


@dataclass(frozen=True, slots=True)
class RunKey:
    """What a run is, and so where it lies.

    Attributes:
        dataset: Name of the data set.
        model: Name of the model.
        fingerprint: Digest of config, inputs, data, split and features.
        seed: The seed.
    """

    dataset: str
    model: str
    fingerprint: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Return ``<out>/<dataset>/<model>/<fingerprint>/seed-<n>``."""
        return out / self.dataset / self.model / self.fingerprint / f"seed-{self.seed}"

    def partial(self, out: Path) -> Path:
        """Return the folder in which this code builds the run; a checkpoint made by other code is not gone on from."""
        return out / PARTIAL / f"{self.fingerprint}-seed-{self.seed}-code-{code_digest()[:8]}"


@dataclass(frozen=True, slots=True)
class RunArtefact:
    """A finished run.

    Attributes:
        folder: Where it lies.
        manifest: Content of ``manifest.json``.
        metrics: Content of ``metrics.json``: ``valid``, ``test`` and ``test_slices``.
    """

    folder: Path
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> RunArtefact:
        """Read a run folder.

        Raises:
            ArtefactError: It is missing, incomplete, unreadable, or of another schema.
        """
        if not folder.is_dir():
            raise ArtefactError(f"{folder}: no such run folder")
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise ArtefactError(f"{folder}: not a whole run; missing: {', '.join(missing)}. Delete it and run again")
        manifest = _read_json(folder / MANIFEST)
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise ArtefactError(
                f"{folder / MANIFEST}: schema_version is {manifest.get('schema_version')!r}; "
                f"this version of mmrec-bench reads {SCHEMA_VERSION}"
            )
        return cls(folder, manifest, _read_json(folder / METRICS))

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as plain data."""
        return load_yaml(self.folder / CONFIG).data

    def history(self) -> list[dict[str, Any]]:
        """Return one record an epoch."""
        lines = (self.folder / HISTORY).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def per_user(self) -> pd.DataFrame:
        """Return the metrics of each user: ``part``, ``user_id``, ``n_truth`` and a column a metric."""
        return pd.read_parquet(self.folder / PER_USER)

    def rankings(self) -> pd.DataFrame:
        """Return the ranked lists: ``part``, ``user_id``, ``rank`` (1 = top), ``item_id``, ``score``."""
        return pd.read_parquet(self.folder / RANKINGS)


def find_runs(roots: Sequence[Path]) -> list[RunArtefact]:
    """Return all finished runs below the given folders, sorted by path.

    Raises:
        ArtefactError: A folder does not exist or holds no run.
    """
    folders: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise ArtefactError(f"{root}: no such folder")
        manifests = (path for path in root.rglob(MANIFEST) if not {PARTIAL, STALE} & set(path.relative_to(root).parts))
        below = {path.parent for path in manifests}
        if not below:
            raise ArtefactError(f"{root}: holds no run (no {MANIFEST} below it)")
        folders |= below
    return [RunArtefact.load(folder) for folder in sorted(folders)]


@contextmanager
def building(key: RunKey, out: Path, *, keep: bool) -> Iterator[Path]:
    """Lend the partial folder of a run under a lock; on success move it to its place.

    Args:
        key: The run.
        out: Root of all runs.
        keep: Whether what an interrupted run left there (checkpoints) is kept.

    Raises:
        ArtefactError: Another process builds the same run.
        ResourceError: The disk is full or not writable; nothing of the run is visible then.
    """
    partial = key.partial(out)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(partial.with_name(partial.name + ".lock"))
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ArtefactError(
            f"another process is building {key.folder(out)}; wait for it, or stop it and run again with --resume"
        ) from None
    except OSError as error:
        raise _disk_error(partial, error) from None
    try:
        if partial.exists() and not keep:
            shutil.rmtree(partial)
        partial.mkdir(exist_ok=True)
        yield partial
        _move_into_place(partial, key, out)
        Path(lock.lock_file).unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(partial, error) from None
    finally:
        lock.release()


def _move_into_place(partial: Path, key: RunKey, out: Path) -> None:
    final = key.folder(out)
    if final.exists():  # made by other code: kept aside, never deleted
        n = 0
        while (aside := out / STALE / f"{key.fingerprint}-seed-{key.seed}-{n}").exists():
            n += 1
        aside.parent.mkdir(parents=True, exist_ok=True)
        final.rename(aside)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)


def _disk_error(path: Path, error: OSError) -> ResourceError:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return ResourceError(
        f"cannot write {error.filename or path}: {reason}. The run is not saved; earlier runs are untouched. "
        "Make room or name another folder with --out, then run again with --resume"
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN), durably."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    _write_text(path, text + "\n")


def write_history(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON line an epoch."""
    _write_text(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in records))


def write_config(path: Path, config: Mapping[str, Any], comment: str) -> None:
    """Write a resolved configuration as YAML under a comment that says how to run it."""
    _write_text(path, f"# {comment}\n" + strict_yaml.dump(dict(config)))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as zstd-compressed parquet."""
    table.to_parquet(path, index=False, compression="zstd")


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors."""
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, path)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return plain floats, checked.

    Raises:
        ArtefactError: A value is not finite: a metric is a number or is not there.
    """
    plain = {name: float(value) for name, value in values.items()}
    if bad := [name for name, value in plain.items() if not math.isfinite(value)]:
        raise ArtefactError(f"metrics must be finite numbers; not so: {', '.join(bad)}")
    return plain


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path}: cannot be read: {error}. Delete the run folder and run again") from None
    if not isinstance(content, dict):
        raise ArtefactError(f"{path}: must hold a JSON object; got {type(content).__name__}")
    return content
