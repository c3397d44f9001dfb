"""Judging feature sets side by side: zero-shot, as similarities of items, and with modalities masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from mmrec_bench.data.alterations import Masked
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable, joined
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import DataError
from mmrec_bench.evaluation.features import FeatureJudge
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.experiments.environment import code_digest, git_state, package_versions
from mmrec_bench.experiments.features.evaluate_config import EvaluateConfig, FeatureSetConfig
from mmrec_bench.experiments.inputs import encoded, plan_features
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.records import Observer

Part: TypeAlias = Literal["valid", "test"]

VAULT_PURPOSE = "evaluation of features, none of which is chosen by it"


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """What was measured of one set.

    Attributes:
        name: Its name.
        dim: Length of its vectors.
        n_present: Items that have one.
        facts: What identifies it.
        zero_shot: Metrics of the zero-shot ranking.
        item_knn: Metrics of the ItemKNN recommender.
        agreement: Recall of the neighbours in behaviour.
        masked: Zero-shot metrics by masked modality and ratio; modalities it is not made of are left out.
    """

    name: str
    dim: int
    n_present: int
    facts: Mapping[str, Any]
    zero_shot: Mapping[str, float]
    item_knn: Mapping[str, float]
    agreement: float
    masked: Mapping[str, Mapping[float, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class FeatureEvaluation:
    """Feature sets side by side.

    Attributes:
        config: What was asked.
        part: Part of the split they are judged on.
        rows: One a set.
        facts: What the numbers rest on: data, counts, fingerprints, code, openings of the vault.
    """

    config: EvaluateConfig
    part: Part
    rows: tuple[FeatureRow, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Set:
    """A set of features: what it is made of, how, and what identifies it."""

    modalities: tuple[str, ...]
    of: Callable[[Mapping[str, FeatureTable]], FeatureTable]
    facts: Mapping[str, Any] = field(default_factory=dict)


def evaluate_features(
    config: EvaluateConfig,
    preparer: Preparer,
    settings: RunSettings,
    part: Part = "valid",
    observer: Observer | None = None,
) -> FeatureEvaluation:
    """Judge all sets.

    Args:
        config: What to judge, and how.
        preparer: Reads data.
        settings: Where made features lie, and how they are made where they are not there.
        part: ``test`` opens the vault.
        observer: Is told of the epochs of an encoder that has to be trained first.

    Raises:
        MMRecBenchError: The data or the made features do not fit what is asked.
    """
    dataset, ledger = preparer.tables(config.dataset, "interactions"), VaultLedger()
    config.protocol.check_catalogue(dataset.payload.n_items, "the evaluation of features")
    sets = {
        name: _set(name, item, config, dataset, preparer, settings, observer) for name, item in config.features.items()
    }
    split = make_split(dataset.payload, config.protocol.split, config.protocol.cold_users)
    truth = split.valid if part == "valid" else split.test.open(VAULT_PURPOSE, ledger)
    judge = _judge(config, dataset, split, truth, part, settings)
    rows = tuple(_row(name, item, config, dataset, judge) for name, item in sets.items())
    facts = {
        "dataset": dataset.name,
        "part": part,
        "protocol_id": config.protocol.id,
        "n_users": len(np.unique(truth.users)),
        "n_items": dataset.payload.n_items,
        "n_items_with_neighbours_in_behaviour": judge.n_items,
        "fingerprints": {
            "data": dataset.fingerprint(),
            "split": split.fingerprint(),
            "features": dataset.feature_fingerprints(),
            "code": code_digest(),
        },
        "git": git_state(),
        "packages": package_versions(),
        "vault_openings": [asdict(opening) for opening in ledger.openings],
        "config": config.model_dump(mode="json"),
    }
    return FeatureEvaluation(config, part, rows, facts)


def _set(
    name: str,
    item: FeatureSetConfig,
    config: EvaluateConfig,
    dataset: Dataset[Interactions],
    preparer: Preparer,
    settings: RunSettings,
    observer: Observer | None,
) -> _Set:
    if item.tables is not None:
        names = item.tables
        if missing := [table for table in names if table not in dataset.features]:
            raise DataError(
                f"features.{name}.tables: data set '{dataset.name}' lacks the files of {', '.join(missing)}; there are "
                f"{', '.join(dataset.features) or 'none'}. Get them, or remove the set"
            )
        return _Set(names, lambda tables: tables[names[0]] if len(names) == 1 else joined([tables[n] for n in names]))
    if item.random is not None:
        values = Seeds(config.seed).numpy("random-features").standard_normal((dataset.payload.n_items, item.random))
        control = FeatureTable("random", values.astype(np.float32), np.ones(len(values), np.bool_), "random")
        return _Set((), lambda tables: control)
    assert item.made is not None
    artefact = plan_features("made", item.made, dataset, config.dataset.card, preparer.tables).make(settings, observer)
    artefact.check_tables(dataset.features)
    facts = {"made": artefact.fingerprint, "code": artefact.manifest["fingerprints"]["code"]}
    return _Set(
        tuple(artefact.manifest["dims"]), lambda tables: encoded(artefact, tables, "made", settings.device), facts
    )


def _judge(
    config: EvaluateConfig,
    dataset: Dataset[Interactions],
    split: Split[Interactions],
    truth: Interactions,
    part: Part,
    settings: RunSettings,
) -> FeatureJudge:
    protocol, ties = config.protocol, tie_ranks(dataset.item_ids, config.protocol.tie_seed)
    excluded = [split.train, split.valid] if part == "test" and "valid" in protocol.exclude else [split.train]
    dense = RetrieverConfig(backend="torch", memory_mib=config.retriever.memory_mib)
    by_vectors, by_scores = (
        RetrievalEvaluator(
            train=split.train,
            truth=truth,
            excluded=excluded,
            metrics=protocol.metrics,
            cutoffs=protocol.cutoffs,
            retriever=build_retriever(retriever, settings.device),
            ties=ties,
        ).evaluate
        for retriever in (config.retriever, dense)
    )
    return FeatureJudge(split.train, by_vectors, by_scores, ties, config.n_neighbors, config.shrink)


def _row(
    name: str, item: _Set, config: EvaluateConfig, dataset: Dataset[Interactions], judge: FeatureJudge
) -> FeatureRow:
    table = item.of(dataset.features)

    def masked(modality: str, ratio: float) -> Mapping[str, float]:
        mask = Masked(modality=modality, ratio=ratio, seed=config.seed)
        return judge.zero_shot(item.of({**dataset.features, modality: mask.apply(dataset.features[modality])}))

    return FeatureRow(
        name=name,
        dim=table.dim,
        n_present=table.n_items - table.n_missing,
        facts={"content": table.fingerprint(), **item.facts},
        zero_shot=judge.zero_shot(table),
        item_knn=judge.item_knn(table),
        agreement=judge.agreement(table),
        masked={modality: {r: masked(modality, r) for r in config.mask_ratios} for modality in item.modalities},
    )
