"""Finished studies, read back from their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.folders import Artefact, checked_manifest, distinct, folders_of_kind
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.tuning.space import with_values
from mmrec_bench.experiments.tuning.study import FILES, REQUIRED, TRIALS


@dataclass(frozen=True, slots=True)
class StudyArtefact(Artefact):
    """A finished study.

    Attributes:
        folder: Where it lies.
        manifest: Content of ``manifest.json``.
        trials: Content of ``trials.jsonl``, by number: ``trial, values, outcome, score, validations, seconds,
            message, best_so_far, weights``.
    """

    KIND, FILES, REQUIRED = "study folder", FILES, REQUIRED

    trials: tuple[Mapping[str, Any], ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a study folder and check that its files are those that were written.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
        """
        manifest = checked_manifest(folder, cls.KIND, cls.FILES, cls.REQUIRED)
        try:
            lines = (folder / TRIALS).read_text(encoding="utf-8").splitlines()
            trials = tuple(json.loads(line) for line in lines)
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{folder / TRIALS}: cannot be read: {error}") from None
        return cls(folder, manifest, trials)

    def winner(self, tuned: Experiment) -> Experiment:
        """Return the experiment with the values of the best trial; its runs say that this study chose them.

        Args:
            tuned: What was tuned; gives all else, so that settings which move no number are those of today.
        """
        facts = self.manifest
        found = with_values(tuned, facts["best"]["values"])
        told = {
            "study": facts["fingerprints"]["study"],
            **{key: facts[key] for key in ("search", "budget", "spent")},
            "trial": facts["best"]["trial"],
        }
        return replace(found, tuning=told)


def find_studies(roots: Sequence[Path]) -> list[StudyArtefact]:
    """Return all finished studies below the given folders, sorted by path; none where there are none.

    Raises:
        ArtefactError: A folder does not exist, or a study is damaged.
    """
    folders = distinct(folder for root in roots for folder in folders_of_kind(root, "study"))
    return [StudyArtefact.load(folder) for folder in folders]
