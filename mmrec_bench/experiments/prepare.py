"""From an experiment's YAML to data in memory, and to the identity of its runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import make_split
from mmrec_bench.data.split import Split
from mmrec_bench.errors import ModelError
from mmrec_bench.experiments.artefact import RunKey
from mmrec_bench.experiments.schema import Experiment
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.types import IntArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data and split of an experiment, ready for any of its seeds.

    Attributes:
        dataset: The data set.
        split: Its split by the protocol's rule.
        ties: Canonical order of equal scores, int64 ``[n_items]``.
        fingerprints: Content fingerprints of ``data``, ``split`` and each feature table.
    """

    dataset: Dataset[Interactions]
    split: Split[Interactions]
    ties: IntArray
    fingerprints: dict[str, str]


class Preparer:
    """Prepares experiments, loading each data set and making each split once.

    Args:
        data_dir: Where data folders lie.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._datasets: dict[str, Dataset[Interactions]] = {}
        self._prepared: dict[str, Prepared] = {}

    def __call__(self, experiment: Experiment) -> Prepared:
        """Load and split the data of an experiment.

        Raises:
            DataError: The data is missing or broken.
            ProtocolError: The split cannot be made.
            ModelError: The model needs what the data does not have.
        """
        config = experiment.config
        dataset = self._dataset(experiment)
        config.protocol.check_catalogue(dataset.payload.n_items, str(experiment.source))
        missing = [name for name in config.entry.modalities if name not in dataset.features]
        if missing or (config.entry.uses_features and not dataset.features):
            needs = ", ".join(config.entry.modalities) or "at least one modality"
            gives = ", ".join(sorted(dataset.features)) or "none"
            raise ModelError(
                f"model '{config.entry.name}' needs {needs}; data set '{dataset.name}' gives {gives}. "
                "Choose another model, or add the features to the card"
            )
        key = f"{id(dataset)}/{config.protocol.model_dump_json(include={'split', 'cold_users', 'tie_seed'})}"
        if key not in self._prepared:
            split = make_split(dataset.payload, config.protocol.split, config.protocol.cold_users)
            fingerprints = {
                "data": dataset.fingerprint(),
                "split": split.fingerprint(),
                **{f"features/{name}": value for name, value in dataset.feature_fingerprints().items()},
            }
            ties = tie_ranks(dataset.item_ids, config.protocol.tie_seed)
            self._prepared[key] = Prepared(dataset, split, ties, fingerprints)
        return self._prepared[key]

    def _dataset(self, experiment: Experiment) -> Dataset[Interactions]:
        card, modalities = load_card(experiment.config.dataset.card), experiment.config.dataset.modalities
        key = f"{card.folder}/{card.model_dump_json()}/{modalities}"
        if key not in self._datasets:
            self._datasets[key] = load_dataset(card, self._data_dir, modalities)
        return self._datasets[key]


def run_key(experiment: Experiment, prepared: Prepared, seed: int) -> RunKey:
    """Return the identity of one run: its fingerprint covers config, data, split and features, not the seed.

    Settings that cannot move a number (how often to write a checkpoint, how much memory to use) are left out.
    """
    facts = experiment.config.model_dump(
        mode="json",
        exclude={"seeds": True, "dataset": True, "trainer": {"checkpoint_seconds"}, "retriever": {"memory_mib"}},
    )
    facts["dataset"] = {"name": prepared.dataset.name, **prepared.fingerprints}
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    fingerprint = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return RunKey(prepared.dataset.name, experiment.config.model.name, fingerprint, seed)
