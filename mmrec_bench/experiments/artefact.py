"""A run as a folder of facts: where it lies, and reading it back. `experiments.building` writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import pandas as pd
import pyarrow
import pyarrow.parquet as pq

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.folders import (
    CONFIG,
    HISTORY,
    MANIFEST,
    PARTIAL,
    STALE,
    Artefact,
    SeededKey,
    checked_manifest,
    distinct,
    folders_of_kind,
    read_json,
)
from mmrec_bench.settings import load_yaml

METRICS = "metrics.json"
PER_USER, RANKINGS, WEIGHTS = "per_user.parquet", "rankings.parquet", "model.safetensors"
FILES = (CONFIG, MANIFEST, METRICS, HISTORY, PER_USER, RANKINGS, WEIGHTS)

REQUIRED = (
    "task", "dataset", "model", "seed", "fingerprints", "protocol_id", "select_by", "seconds", "n_parameters",
)  # fmt: skip
"""Facts of a manifest without which nothing can be done with a run."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunKey(SeededKey):
    """What a run is, and so where it lies; the fingerprint covers config, inputs, data, split and features."""

    @property
    def identity(self) -> str:
        """What its checkpoint must be of."""
        return f"{self.fingerprint}/{self.seed}"

    @property
    def name(self) -> str:
        """Name while it is made, and when it is kept aside."""
        return f"{self.fingerprint}-seed-{self.seed}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/<dataset>/<model>/<fingerprint>/seed-<n>``."""
        return out / self.dataset / self.model / self.fingerprint / f"seed-{self.seed}"

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of a run folder."""
        return RunArtefact.load(folder).manifest


@dataclass(frozen=True, slots=True)
class RunArtefact(Artefact):
    """A finished run.

    Attributes:
        folder: Where it lies.
        manifest: Content of ``manifest.json``.
        metrics: Content of ``metrics.json``: ``valid``, ``test`` and ``test_slices``.
    """

    KIND, FILES, REQUIRED = "run folder", FILES, REQUIRED

    metrics: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a run folder and check that its files are those that were written.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
        """
        manifest = checked_manifest(folder, cls.KIND, cls.FILES, cls.REQUIRED)
        return cls(folder, manifest, read_json(folder / METRICS))

    @property
    def deterministic(self) -> bool:
        """Whether no seed moves its numbers; manifests of before that was written down tell of closed forms alone."""
        return bool(self.manifest.get("deterministic", self.manifest.get("closed_form")))

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as plain data."""
        return load_yaml(self.folder / CONFIG).data

    def history(self) -> list[dict[str, Any]]:
        """Return one record an epoch."""
        lines = self._read(HISTORY, lambda path: path.read_text(encoding="utf-8").splitlines())
        return [json.loads(line) for line in lines]

    def per_user(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the metrics of each user: ``part``, ``user_id``, ``n_truth`` and a column a metric.

        Args:
            columns: Names of columns to read, as far as they are there; None reads all.
        """

        def read(path: Path) -> pd.DataFrame:
            if columns is None:
                return pd.read_parquet(path)
            with pq.ParquetFile(path) as file:  # opened once, for reports read single columns of many runs
                frame: pd.DataFrame = file.read([name for name in file.schema.names if name in columns]).to_pandas()
            return frame

        return self._read(PER_USER, read)

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
        ArtefactError: A folder does not exist or holds no run, or a run is damaged or half written.
    """
    folders: list[Path] = []
    for root in roots:
        below = folders_of_kind(root, "run") | _half_written(root)
        if not below:
            raise ArtefactError(f"{root}: holds no run (no {MANIFEST} below it)")
        folders += below
    return [RunArtefact.load(folder) for folder in distinct(folders)]


def _half_written(root: Path) -> set[Path]:
    """Return folders with results and no manifest, such as copies cut short; loading them says what is missing."""
    found = {path.parent for name in (METRICS, PER_USER) for path in root.rglob(name)}
    whole = {folder for folder in found if (folder / MANIFEST).is_file()}
    return {folder for folder in found - whole if not {PARTIAL, STALE} & set(folder.relative_to(root).parts)}
