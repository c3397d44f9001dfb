"""Finished studies, read back from their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.folders import MANIFEST, PARTIAL, STALE, checked_manifest, read_json
from mmrec_bench.experiments.tuning.study import FILES, REQUIRED, TRIALS


@dataclass(frozen=True, slots=True)
class StudyArtefact:
    """A finished study.

    Attributes:
        folder: Where it lies.
        manifest: Content of ``manifest.json``.
        trials: Content of ``trials.jsonl``, by number: ``trial, values, outcome, score, validations, seconds,
            message, best_so_far, weights``.
    """

    folder: Path
    manifest: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...]

    @classmethod
    def load(cls, folder: Path) -> StudyArtefact:
        """Read a study folder and check that its files are those that were written.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
        """
        manifest = checked_manifest(folder, "study folder", FILES, REQUIRED)
        try:
            lines = (folder / TRIALS).read_text(encoding="utf-8").splitlines()
            trials = tuple(json.loads(line) for line in lines)
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{folder / TRIALS}: cannot be read: {error}") from None
        return cls(folder, manifest, trials)


def find_studies(roots: Sequence[Path]) -> list[StudyArtefact]:
    """Return all finished studies below the given folders, sorted by path; none where there are none.

    Raises:
        ArtefactError: A folder does not exist, or a study is damaged.
    """
    folders: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise ArtefactError(f"{root}: no such folder")
        manifests = (path for path in root.rglob(MANIFEST) if not {PARTIAL, STALE} & set(path.relative_to(root).parts))
        folders |= {path.parent for path in manifests if read_json(path).get("kind", "run") == "study"}
    return [StudyArtefact.load(folder) for folder in sorted(folders)]
