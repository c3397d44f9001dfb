"""A run as a folder of facts: where it lies, and reading it back with checks. `experiments.building` writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import pandas as pd
import pyarrow

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.settings import load_yaml

SCHEMA_VERSION = 1
CONFIG, MANIFEST, METRICS, HISTORY = "config.yaml", "manifest.json", "metrics.json", "history.jsonl"
PER_USER, RANKINGS, WEIGHTS = "per_user.parquet", "rankings.parquet", "model.safetensors"
FILES = (CONFIG, MANIFEST, METRICS, HISTORY, PER_USER, RANKINGS, WEIGHTS)
PARTIAL, STALE = ".partial", ".stale"

REQUIRED = (
    "task", "dataset", "model", "seed", "fingerprints", "protocol_id", "select_by", "seconds", "n_parameters", "files",
)  # fmt: skip
"""Facts of a manifest without which nothing can be done with a run."""

State: TypeAlias = Literal["new", "partial", "damaged", "stale", "done"]
"""``stale``: finished, but by other code. ``damaged``: finished, but its files have changed since. ``partial``:
interrupted, can be resumed."""

T = TypeVar("T")


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

    def state(self, out: Path) -> State:
        """Return what lies in the run's folder."""
        folder = self.folder(out)
        if folder.exists():
            try:
                made_by = RunArtefact.load(folder).manifest["fingerprints"]["code"]
            except (ArtefactError, KeyError, TypeError):
                return "damaged"
            return "done" if made_by == code_digest() else "stale"
        return "partial" if self.partial(out).exists() else "new"


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
        """Read a run folder and check that its files are those that were written.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
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
        if missing := [name for name in REQUIRED if name not in manifest]:
            raise ArtefactError(f"{folder / MANIFEST}: lacks {', '.join(missing)}. Delete the run and make it again")
        for name in FILES:
            if name != MANIFEST and digest_of(folder / name) != manifest["files"].get(name):
                raise ArtefactError(
                    f"{folder / name}: was changed or cut short since the run; its digest is not that of the manifest. "
                    "Delete the run and make it again"
                )
        return cls(folder, manifest, _read_json(folder / METRICS))

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as plain data."""
        return load_yaml(self.folder / CONFIG).data

    def history(self) -> list[dict[str, Any]]:
        """Return one record an epoch."""
        lines = self._read(HISTORY, lambda path: path.read_text(encoding="utf-8").splitlines())
        return [json.loads(line) for line in lines]

    def per_user(self) -> pd.DataFrame:
        """Return the metrics of each user: ``part``, ``user_id``, ``n_truth`` and a column a metric."""
        return self._read(PER_USER, pd.read_parquet)

    def rankings(self) -> pd.DataFrame:
        """Return the ranked lists: ``part``, ``user_id``, ``rank`` (1 = top), ``item_id``, ``score``."""
        return self._read(RANKINGS, pd.read_parquet)

    def _read(self, name: str, reader: Callable[[Path], T]) -> T:
        try:
            return reader(self.folder / name)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise ArtefactError(f"{self.folder / name}: cannot be read: {error}") from None


def find_runs(roots: Sequence[Path]) -> list[RunArtefact]:
    """Return all finished runs below the given folders, sorted by path.

    Raises:
        ArtefactError: A folder does not exist or holds no run, or a run is damaged.
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


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes, as manifests hold it.

    Raises:
        ArtefactError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: cannot be read: {error}. Delete the run folder and run again") from None
    if not isinstance(content, dict):
        raise ArtefactError(f"{path}: must hold a JSON object; got {type(content).__name__}")
    return content
