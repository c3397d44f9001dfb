"""From an experiment's YAML to data in memory, and to the identity of its runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mmrec_bench.data.alterations import Alteration, alter_dataset, modalities_left
from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import make_split
from mmrec_bench.data.split import Split
from mmrec_bench.errors import ModelError
from mmrec_bench.experiments.artefact import RunKey
from mmrec_bench.experiments.schema import Experiment, ExperimentConfig
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.types import IntArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data and split of an experiment, ready for any of its seeds.

    Attributes:
        load: Returns the data set as models see it. What is altered is made when it is asked for, since the altered
            features of all runs of a plan may not fit into memory together.
        split: The split of the data set by the protocol's rule.
        ties: Canonical order of equal scores, int64 ``[n_items]``.
        fingerprints: Content fingerprints of ``data``, ``split`` and each feature table.
        unaltered: The same before `DatasetRef.alter`.
    """

    load: Callable[[], Dataset[Interactions]]
    split: Split[Interactions]
    ties: IntArray
    fingerprints: dict[str, str]
    unaltered: dict[str, str]

    @property
    def dataset(self) -> Dataset[Interactions]:
        """The data set as models see it."""
        return self.load()


class Preparer:
    """Prepares experiments, loading each data set and making each split once.

    Args:
        data_dir: Where data folders lie.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._datasets: dict[str, Dataset[Interactions]] = {}
        self._prepared: dict[str, Prepared] = {}
        self._alter = lru_cache(maxsize=1)(alter_dataset)

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
        left = modalities_left(tuple(dataset.features), config.dataset.alter)
        if missing := config.entry.lacks(left):
            raise ModelError(
                f"model '{config.entry.name}' needs {', '.join(missing)}; data set '{dataset.name}' gives "
                f"{', '.join(sorted(left)) or 'none'}. Choose another model, or add the features to the card"
            )
        key = f"{id(dataset)}/{config.protocol.model_dump_json(include={'split', 'cold_users', 'tie_seed'})}"
        if key not in self._prepared:
            split = make_split(dataset.payload, config.protocol.split, config.protocol.cold_users)
            fingerprints = {"data": dataset.fingerprint(), "split": split.fingerprint(), **_of_features(dataset)}
            ties = tie_ranks(dataset.item_ids, config.protocol.tie_seed)
            self._prepared[key] = Prepared(lambda: dataset, split, ties, fingerprints, fingerprints)
        return self._altered(self._prepared[key], dataset, config.dataset.alter)

    def _altered(
        self, prepared: Prepared, dataset: Dataset[Interactions], alterations: tuple[Alteration, ...]
    ) -> Prepared:
        if not alterations:
            return prepared
        load = partial(self._alter, dataset, alterations)
        parts = {name: prepared.fingerprints[name] for name in ("data", "split")}
        return replace(prepared, load=load, fingerprints=parts | _of_features(load()))

    def _dataset(self, experiment: Experiment) -> Dataset[Interactions]:
        card, modalities = load_card(experiment.config.dataset.card), experiment.config.dataset.modalities
        key = f"{card.folder}/{card.model_dump_json()}/{modalities}"
        if key not in self._datasets:
            self._datasets[key] = load_dataset(card, self._data_dir, modalities)
        return self._datasets[key]


def _of_features(dataset: Dataset[Interactions]) -> dict[str, str]:
    return {f"features/{name}": value for name, value in dataset.feature_fingerprints().items()}


def run_key(experiment: Experiment, prepared: Prepared, seed: int) -> RunKey:
    """Return the identity of one run: its fingerprint covers config, data, split and features, not the seed.

    Settings that cannot move a number (how often to write a checkpoint, how much memory to use) are left out.
    """
    config = experiment.config
    name, alterations = prepared.dataset.name, [change.model_dump(mode="json") for change in config.dataset.alter]
    facts = {"name": name, **prepared.fingerprints, **({"alter": alterations} if alterations else {})}
    return RunKey(name, config.model.name, _fingerprint(config, facts), seed)


def unaltered_fingerprint(experiment: Experiment, prepared: Prepared) -> str:
    """Return the fingerprint of the experiment without alterations, with whose runs altered ones are compared."""
    return _fingerprint(experiment.config, {"name": prepared.dataset.name, **prepared.unaltered})


def _fingerprint(config: ExperimentConfig, dataset: dict[str, Any]) -> str:
    facts = config.model_dump(
        mode="json",
        exclude={"seeds": True, "dataset": True, "trainer": {"checkpoint_seconds"}, "retriever": {"memory_mib"}},
    )
    text = json.dumps({**facts, "dataset": dataset}, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
