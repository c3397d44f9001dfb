"""AIS, the AUC Improvement Score: what honest features bring to M_T in the same slot, by the side of LIS."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmrec_bench.data.alterations import alter
from mmrec_bench.data.arrays import digest
from mmrec_bench.data.features import joined
from mmrec_bench.data.points import Points
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ConfigError, ConfigIssue, DataError
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.folders import CONFIG, checked_manifest
from mmrec_bench.experiments.inputs import plan_features
from mmrec_bench.experiments.lis.bed import Slot, TestBed
from mmrec_bench.experiments.lis.config import AlignConfig, EncoderConfig
from mmrec_bench.experiments.lis.leaks import Given, Variant
from mmrec_bench.experiments.lis.probe import (
    LIS,
    REQUIRED,
    SCORES,
    LisKey,
    Probe,
    ProbeArtefact,
    made,
    scores_table,
    served,
    shared_facts,
    weights_of,
)
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.models.ctr.alignment import AlignedItems, IdAlignment
from mmrec_bench.models.ctr.base import Extra
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.types import FloatArray

FEATURES = "features"
FILES = (CONFIG, "manifest.json", SCORES)
VAULT_PURPOSE = "AIS: impressions on which M_T and its honest features are compared; none is chosen by it"


@dataclass(frozen=True, slots=True)
class FeatureSetKey(LisKey):
    """One set of features, measured against one seed of a probe.

    Attributes:
        content: Digest of the set's settings and vectors.
    """

    content: str

    @property
    def name(self) -> str:
        """Name while it is made, and when it is kept aside."""
        return f"{LIS}-{self.fingerprint}-{self.content}-seed-{self.seed}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/lis/<dataset>/<model>/<fingerprint>/features/<content>/seed-<n>``."""
        return out / LIS / self.dataset / self.model / self.fingerprint / FEATURES / self.content / f"seed-{self.seed}"

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of such a folder."""
        return checked_manifest(folder, "folder of features measured by a probe", FILES, REQUIRED)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """A set of features before it is aligned.

    Attributes:
        name: Name of its row.
        config: What was asked.
        vectors: float32 ``[n_items, d]``, zeros where an item has none.
    """

    name: str
    config: EncoderConfig
    vectors: FloatArray

    @property
    def content(self) -> str:
        """Digest of its settings and vectors."""
        settings = self.config.model_dump(mode="json", exclude={"made"})
        return digest(self.name, json.dumps(settings, sort_keys=True), self.vectors)


def feature_sets(probe: Probe, preparer: Preparer, settings: RunSettings) -> tuple[FeatureSet, ...]:
    """Return the sets of features of a probe; made ones are made first where they are not there.

    Raises:
        DataError: The data set lacks a table.
    """
    return tuple(
        FeatureSet(name, config, _vectors(name, config, probe, preparer, settings))
        for name, config in probe.config.features.items()
    )


def _vectors(
    name: str, config: EncoderConfig, probe: Probe, preparer: Preparer, settings: RunSettings
) -> FloatArray:  # fmt: skip
    dataset = probe.prepared.dataset
    if config.random is not None:
        rng = Seeds(0).numpy("random-features")
        return rng.standard_normal((dataset.payload.n_items, config.random)).astype(np.float32)
    if config.made is not None:
        plan = plan_features(name, config.made, dataset, probe.config.dataset.card, preparer.tables)
        return plan.make(settings, None).table(name).filled()
    assert config.tables is not None
    if missing := [table for table in config.tables if table not in dataset.features]:
        raise DataError(
            f"features.{name}.tables: data set '{dataset.name}' lacks {', '.join(missing)}; there are "
            f"{', '.join(dataset.features) or 'none'}. Name these, or add them to the card"
        )
    tables = alter({table: dataset.features[table] for table in config.tables}, config.alter)
    if not tables:
        raise ConfigError(f"features.{name}", [ConfigIssue("alter", "leaves no table; remove what drops the last")])
    found = list(tables.values())
    return (found[0] if len(found) == 1 else joined(found)).filled()


def measure_features(
    probe: Probe, found: FeatureSet, artefact: ProbeArtefact, settings: RunSettings
) -> pd.DataFrame:  # fmt: skip
    """Return the scores of a set of features measured against one seed, and measure it first where it is not there."""
    seed = int(artefact.manifest["seed"])
    of = probe.key(seed)
    key = FeatureSetKey(of.dataset, of.model, of.fingerprint, seed, found.content)
    made(key, settings, lambda folder: _build(probe, found, artefact, key, settings, folder))
    return pd.read_parquet(key.folder(settings.out) / SCORES)


def _build(
    probe: Probe, found: FeatureSet, artefact: ProbeArtefact, key: FeatureSetKey, settings: RunSettings, folder: Path
) -> None:
    vault, started = VaultLedger(), time.perf_counter()
    judged: Points = probe.prepared.split.test.open(VAULT_PURPOSE, vault)
    bed = TestBed(probe.config, probe.prepared, key.seed, settings.device)
    base, current = weights_of(artefact)
    vectors, facts = found.vectors, dict[str, float]()
    if found.config.align is not None:
        identities = current["fields.items.weight"].numpy()
        vectors, facts = aligned(found.config.align, vectors, identities, bed.before, key.seed, settings.device)
    variant = Variant(FEATURES, "add", control=found.name)
    given = Given(variant, None, slot=Slot.of_items(Extra.of_vectors(vectors)))
    scores = scores_table(probe, judged, {variant.name: served(bed, base, current, given, judged)})
    write.write_table(folder / SCORES, scores)
    config = probe.config.model_dump(mode="json", exclude={"features"})
    config |= {"features": {found.name: found.config.model_dump(mode="json")}, "seeds": [key.seed]}
    write.write_config(folder / CONFIG, config, f"mmrec-bench lis compare {CONFIG}")
    manifest = shared_facts(probe, key, settings, [variant], judged, vault)
    manifest |= {"leak": [], "alignment": facts, "seconds": {"all": time.perf_counter() - started}}
    write.write_manifest(folder, manifest, FILES)


def aligned(
    config: AlignConfig, vectors: FloatArray, identities: FloatArray, before: Points, seed: int, device: torch.device
) -> tuple[FloatArray, dict[str, float]]:
    """Return features aligned to the identities of items, and what is known of it.

    Args:
        config: How.
        vectors: Features, float32 ``[n_items, d]``.
        identities: Item table of M_T, float32 ``[n_items, k]``.
        before: Impressions before the cut, which say which items are frequent.
        seed: Of initial weights, of the items that are held out, and of the order of batches.
        device: Where to train.

    Raises:
        DataError: Too few items have features and impressions.
    """
    counts = np.bincount(before.items, minlength=before.n_items)
    some = np.flatnonzero((counts > 0) & vectors.any(axis=1))
    frequent = some[np.argsort(-counts[some], kind="stable")][: round(config.frequent * len(some))]
    n_valid = round(config.held_out * len(frequent))
    if n_valid < 1 or len(frequent) - n_valid < 2:
        raise DataError(
            f"alignment needs items with features and impressions before the cut; {len(frequent)} are frequent enough. "
            "Raise align.frequent"
        )
    seeds = Seeds(seed)
    drawn = seeds.numpy("held-out-items").permutation(frequent).astype(np.int64)
    items, held_out = np.sort(drawn[n_valid:]), np.sort(drawn[:n_valid])
    scaled = Extra.of_vectors(vectors).values.astype(np.float32)
    seeds.seed_global("init")
    model = IdAlignment(scaled, identities, config.hidden_dim, config.temperature).to(device)

    def validate(current: IdAlignment) -> Validation:
        recall = current.recall(held_out)
        return Validation(recall, {"recall": recall})

    result = train(model, AlignedItems(items), config.trainer, validate, seeds, device)
    facts = {"recall": result.best_score, "train_items": len(items), "held_out_items": len(held_out)}
    return model.encode(), {**facts, "epochs_run": result.epochs_run}
