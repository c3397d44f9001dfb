"""LIS, the Leakage Impact Score (https://arxiv.org/abs/2508.04963): what a ranker would gain from the future.

``LIS = AUC(model given features of leaked behaviour) - AUC(M_T)``: an upper bound of what such behaviour can teach. It
is a probe and no metric; its folders are marked, and no table of experiments takes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from mmrec_bench.data.leaked import LeakedSplit, LeakLedger
from mmrec_bench.data.point_rules import TimeWindow
from mmrec_bench.data.points import Points
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import code_digest, device_facts, git_state, package_versions, use_threads
from mmrec_bench.experiments.folders import (
    CONFIG,
    HISTORY,
    SCHEMA_VERSION,
    Artefact,
    ArtefactKey,
    SeededKey,
    fingerprint_of,
)
from mmrec_bench.experiments.lis.bed import TestBed, table_of
from mmrec_bench.experiments.lis.config import LisConfig, LoadedProbe
from mmrec_bench.experiments.lis.leaks import Given, Sources, Variant, given_by
from mmrec_bench.experiments.prepare import Prepared, Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.start import read_weights
from mmrec_bench.seeding import Seeds, derive_seed, determinism_of
from mmrec_bench.types import FloatArray

LIS = "lis"
SCORES, BASE, CURRENT = "scores.parquet", "base.safetensors", "current.safetensors"
FILES = (CONFIG, "manifest.json", HISTORY, SCORES, BASE, CURRENT)
REQUIRED = ("dataset", "model", "seed", "fingerprints", "protocol_id", "variants", "leak", "seconds")
BASELINE = "M_T"
"""Column of the probabilities of the model that knows nothing of the time behind the cut."""

VAULT_PURPOSE = "LIS: impressions on which M_T and whatever is put into it are compared; none is chosen by it"


@dataclass(frozen=True, slots=True)
class LisKey(SeededKey):
    """What one seed of a probe is, and so where it lies; the fingerprint covers config, data and split, no features."""

    @property
    def name(self) -> str:
        """Name while it is made, and when it is kept aside."""
        return f"{LIS}-{self.fingerprint}-seed-{self.seed}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/lis/<dataset>/<model>/<fingerprint>/seed-<n>``."""
        return out / LIS / self.dataset / self.model / self.fingerprint / f"seed-{self.seed}"

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of such a folder."""
        return ProbeArtefact.load(folder).manifest


@dataclass(frozen=True, slots=True)
class ProbeArtefact(Artefact):
    """One seed of a probe that was made."""

    KIND, FILES, REQUIRED = "folder of a probe", FILES, REQUIRED

    def scores(self) -> pd.DataFrame:
        """Return a row an impression of the evaluation window: who, what, when, label, and a probability a variant."""
        return pd.read_parquet(self.folder / SCORES)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What was put into the model, in the order of columns."""
        return tuple(Variant(**facts) for facts in self.manifest["variants"])


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with its data, ready for any of its seeds.

    Attributes:
        config: The probe.
        prepared: Data and split.
        points: All impressions.
    """

    config: LisConfig
    prepared: Prepared
    points: Points

    @classmethod
    def of(cls, loaded: LoadedProbe, preparer: Preparer) -> Probe:
        """Load and split the data, and refuse horizons that they do not reach.

        Raises:
            MMRecBenchError: The data do not fit what is asked.
        """
        config = loaded.config
        prepared = preparer(Experiment(config.experiment, loaded.path, "lis"))
        probe = cls(config, prepared, prepared.dataset.payload)
        behind = probe.leaked_split()
        for leak in config.leaks:
            behind.check(leak.days)
        return probe

    def leaked_split(self) -> LeakedSplit:
        """Return what happened behind the cut, closed."""
        rule = self.config.protocol.split
        assert isinstance(rule, TimeWindow)
        return LeakedSplit(self.points, rule)

    def key(self, seed: int) -> LisKey:
        """Return the identity of one seed; sets of features, seeds and the bootstrap are no part of it."""
        left_out = {"features", "seeds", "dataset", "n_draws", "bootstrap_seed", "margin"}
        facts = self.config.model_dump(mode="json", exclude=left_out)
        facts["dataset"] = {"name": self.prepared.dataset.name, **self.prepared.fingerprints}
        return LisKey(self.prepared.dataset.name, self.config.model.name, fingerprint_of(facts), seed)


def probe_seed(probe: Probe, seed: int, settings: RunSettings, told: Callable[[str], None]) -> ProbeArtefact:
    """Return one seed of a probe, and make it first where it is not there.

    Args:
        probe: What to measure.
        seed: Seed of the models.
        settings: Where and how.
        told: Is told the name of every variant that is done.

    Raises:
        MMRecBenchError: Whatever went wrong; the folder then does not exist.
    """
    key = probe.key(seed)
    made(key, settings, lambda folder: _build(probe, key, settings, folder, told))
    return ProbeArtefact.load(key.folder(settings.out))


def made(key: ArtefactKey, settings: RunSettings, build: Callable[[Path], None]) -> None:
    """Make an artefact under the lock of its folder, unless it is there."""
    reused = ("done", "stale") if settings.reuse_stale else ("done",)
    if key.state(settings.out) in reused:
        return
    use_threads(settings.threads)
    with write.run_lock(key, settings.out, wait=True):
        if key.state(settings.out) not in reused:  # again: another process may have made it
            with write.building(key, settings.out, keep=False) as folder:
                build(folder)


def _build(probe: Probe, key: LisKey, settings: RunSettings, folder: Path, told: Callable[[str], None]) -> None:
    config, prepared, device = probe.config, probe.prepared, settings.device
    vault, ledger = VaultLedger(), LeakLedger()
    judged: Points = prepared.split.test.open(VAULT_PURPOSE, vault)
    started = time.perf_counter()
    bed = TestBed(config, prepared, key.seed, device)
    base, training = bed.base()
    current = bed.updated(base)
    weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in current.state_dict().items()}
    told(BASELINE)

    def of_other_seed() -> FloatArray:
        other = TestBed(config, prepared, derive_seed(key.seed, "lis/other"), device)
        return table_of(other.updated(other.base()[0]))

    sources = Sources(
        bed, probe.leaked_split(), ledger, judged, weights, table_of(current), of_other_seed, Seeds(key.seed)
    )
    found = {BASELINE: bed.probabilities(current, judged)}
    variants: list[Variant] = []
    for leak in config.leaks:
        for given in given_by(leak, sources):
            found[given.variant.name] = served(bed, base, weights, given, judged)
            variants.append(given.variant)
            told(given.variant.name)
    write.write_table(folder / SCORES, scores_table(probe, judged, found))
    write.write_weights(folder / BASE, base)
    write.write_weights(folder / CURRENT, weights)
    write.write_history(folder / HISTORY, [record.as_json() for record in training.history])
    resolved = config.model_dump(mode="json", exclude={"features"}) | {"seeds": [key.seed]}
    write.write_config(folder / CONFIG, resolved, f"mmrec-bench lis {CONFIG}")
    facts = shared_facts(probe, key, settings, variants, judged, vault)
    leaks = sorted({(leak.kind, leak.days) for leak in ledger.leaks})
    facts["leak"] = [{"kind": kind, "days": days} for kind, days in leaks]
    facts["training"] = {"epochs_run": training.epochs_run, "best_epoch": training.best_epoch}
    facts["seconds"] = {"all": time.perf_counter() - started}
    write.write_manifest(folder, facts, FILES)


def served(
    bed: TestBed, base: Mapping[str, Tensor], current: Mapping[str, Tensor], given: Given, judged: Points
) -> FloatArray:
    """Return the probabilities of the model that was given something, float32 ``[N]``."""
    if given.table is not None:
        return bed.probabilities(bed.with_table(current, given.table), judged)
    return bed.probabilities(bed.updated(base, given.slot), judged, given.slot)


def scores_table(probe: Probe, judged: Points, found: Mapping[str, FloatArray]) -> pd.DataFrame:
    """Return the table of probabilities: a row an impression, a column a variant."""
    dataset, split = probe.prepared.dataset, probe.prepared.split
    seen = np.concatenate([split.train.users, split.valid.users])
    facts = {
        "user_id": dataset.user_ids[judged.users],
        "item_id": dataset.item_ids[judged.items],
        "timestamp": judged.timestamps,
        "label": judged.labels,
        "known_user": np.isin(judged.users, seen),
    }
    return pd.DataFrame(facts | dict(found))


def shared_facts(
    probe: Probe, key: Any, settings: RunSettings, variants: Sequence[Variant], judged: Points, vault: VaultLedger
) -> dict[str, Any]:
    """Return what the manifests of a probe and of features measured against it have in common."""
    prepared, window = probe.prepared, probe.leaked_split()
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": LIS,
        "task": "ctr",
        "dataset": prepared.dataset.name,
        "model": probe.config.model.label,
        "seed": key.seed,
        "fingerprints": {
            "config": key.fingerprint,
            **prepared.fingerprints,
            "code": code_digest(),
        },
        "git": git_state(),
        "packages": package_versions(),
        "device": device_facts(settings.device),
        "determinism": determinism_of(settings.device),
        "threads": settings.threads,
        "protocol_id": probe.config.protocol.id,
        "cut": window.cut,
        "judged": {
            "impressions": len(judged),
            "clicks": int(judged.labels.sum()),
            "users": len(np.unique(judged.users)),
            "share": len(judged) / len(probe.points),
            "days": float(judged.timestamps[-1] - window.cut) / 86_400,
        },
        "recipe": judged.recipe,
        "variants": [asdict(variant) for variant in variants],
        "vault_openings": [asdict(opening) for opening in vault.openings],
        "split_report": asdict(prepared.split.report),
        "data_report": asdict(prepared.dataset.report),
    }


def probe_all(
    loaded: LoadedProbe, preparer: Preparer, settings: RunSettings, told: Callable[[int, str], None]
) -> tuple[Probe, tuple[ProbeArtefact, ...]]:
    """Return a probe and the artefact of each of its seeds; those that are there are not made again."""
    probe = Probe.of(loaded, preparer)

    def each() -> Iterator[ProbeArtefact]:
        for seed in loaded.config.seeds:
            yield probe_seed(probe, seed, settings, lambda name, seed=seed: told(seed, name))  # type: ignore[misc]

    return probe, tuple(each())


def weights_of(artefact: ProbeArtefact) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of the base and of M_T."""
    return read_weights(artefact.folder / BASE), read_weights(artefact.folder / CURRENT)
