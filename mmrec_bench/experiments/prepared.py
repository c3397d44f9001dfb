"""Data and split of an experiment in memory, what has to be made before it, and the identity of its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.lexicon import Lexicon
from mmrec_bench.data.split import Split
from mmrec_bench.experiments.artefact import RunArtefact, RunKey
from mmrec_bench.experiments.audit import Auditor
from mmrec_bench.experiments.folders import fingerprint_of
from mmrec_bench.experiments.inputs import FeatureInput
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig
from mmrec_bench.types import IntArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data and split of an experiment, ready for any of its seeds.

    Attributes:
        load: Returns the data set as models see it. What is altered is made when it is asked for, since the altered
            features of all runs of a plan may not fit into memory together.
        split: The split of the data set by the protocol's rule.
        ties: Canonical order of equal scores, int64 ``[n_items]``.
        auditor: Audits the data set and its split for leaks, once.
        fingerprints: Content fingerprints of ``data``, ``split`` and each feature table; of made features, a digest of
            what they are made from and how.
        unaltered: The same before `DatasetRef.alter`.
        inputs: Features that are made for it; the data set does not hold them yet.
        first_stage: The retrieval run that has to be made before, whether it is there or not.
        first_run: Its artefact, once it is there.
        lexicon: Words and queries, of the interactive task.
        start: The weights that the model starts from.
    """

    load: Callable[[], Dataset[Any]]
    split: Split[Any]
    ties: IntArray
    auditor: Auditor
    fingerprints: dict[str, str]
    unaltered: dict[str, str]
    inputs: tuple[FeatureInput, ...] = ()
    first_stage: FirstStage | None = None
    first_run: RunArtefact | None = None
    lexicon: Lexicon | None = None
    start: Start | None = None

    @property
    def dataset(self) -> Dataset[Any]:
        """The data set as models see it."""
        return self.load()


@dataclass(frozen=True, slots=True)
class Start:
    """Weights that a model starts from.

    Attributes:
        fingerprint: Digest of what they are.
        folder: Of a run that is there, or None until it is made.
        experiment: What is run for them first, or None.
        prepared: Its data.
    """

    fingerprint: str
    folder: Path | None = None
    experiment: Experiment | None = None
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class FirstStage:
    """The retrieval run that another run needs.

    Attributes:
        kind: What it is for: ``candidates`` to be ranked, or the ``base`` of sessions.
        settings: What the other run makes of it, for the manifest.
        experiment: The run's experiment.
        prepared: Its data.
        key: Its identity.
        folder: Where it lies, if it was named by its folder.
    """

    kind: Literal["candidates", "base"]
    settings: Mapping[str, Any]
    experiment: Experiment
    prepared: Prepared
    key: RunKey
    folder: Path | None = None


def run_key(experiment: Experiment, prepared: Prepared, seed: int) -> RunKey:
    """Return the identity of one run: its fingerprint covers config, data, split and features, not the seed.

    Settings that cannot move a number (how often to write a checkpoint, how much memory to use) are left out.
    """
    config = experiment.config
    name, alterations = prepared.dataset.name, [change.model_dump(mode="json") for change in config.dataset.alter]
    facts = {"name": name, **prepared.fingerprints, **({"alter": alterations} if alterations else {})}
    folder = "-".join(part.name for part in config.model.parts())
    return RunKey(name, folder, _fingerprint(config, facts), seed)


def unaltered_fingerprint(experiment: Experiment, prepared: Prepared) -> str:
    """Return the fingerprint of the experiment without alterations, with whose runs altered ones are compared."""
    return _fingerprint(experiment.config, {"name": prepared.dataset.name, **prepared.unaltered})


def _fingerprint(config: ExperimentConfig, dataset: dict[str, Any]) -> str:
    facts = config.model_dump(
        mode="json",
        exclude={
            "seeds": True,
            "dataset": True,
            "inputs": True,
            "trainer": {"checkpoint_seconds"},
            "retriever": {"memory_mib"},
        },
    )
    return fingerprint_of({**facts, "dataset": dataset})
