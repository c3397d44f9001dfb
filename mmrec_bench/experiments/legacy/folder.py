"""Folders of test scores that show what tuning on the test part would have published; no tuner reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmrec_bench.experiments.folders import MANIFEST, Artefact, ArtefactKey, checked_manifest
from mmrec_bench.experiments.tuning.studies import StudyArtefact

PURPOSE = "legacy-emulation"
"""Why the test part is opened, as its ledger tells it."""

USERS = "users.parquet"
FILES = (USERS, MANIFEST)
REQUIRED = ("kind", "dataset", "model", "study", "fingerprints", "select_by", "best", "trials", "vault_openings")


@dataclass(frozen=True, slots=True)
class LegacyKey(ArtefactKey):
    """The emulation of one study, and so where it lies."""

    dataset: str
    model: str
    study: str

    @classmethod
    def of(cls, study: StudyArtefact) -> LegacyKey:
        """Return the key of a study."""
        return cls(
            study.manifest["dataset"], study.folder.resolve().parent.name, study.manifest["fingerprints"]["study"]
        )

    @property
    def name(self) -> str:
        """Name while it is made, and when it is kept aside."""
        return f"legacy-{self.study}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/legacy/<dataset>/<model>/<study>``."""
        return out / "legacy" / self.dataset / self.model / self.study

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of such a folder."""
        return checked_manifest(folder, LegacyArtefact.KIND, FILES, REQUIRED)


class LegacyArtefact(Artefact):
    """A finished emulation."""

    KIND, FILES, REQUIRED = "folder of a legacy emulation", FILES, REQUIRED

    def users(self) -> pd.DataFrame:
        """Return test scores: ``trial``, ``user_id`` and ``score``, a row a user, list or session."""
        return pd.read_parquet(self.folder / USERS)
