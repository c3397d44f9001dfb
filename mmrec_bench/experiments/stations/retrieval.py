"""The retrieval task: rankings of the whole catalogue for every user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.evaluation.cold import COLD_ONLY, cold_only
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.evaluation.retrieval import Evaluation, RetrievalEvaluator, SliceResult
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.stations.base import VAULT_PURPOSE, Judgement, built, part_column
from mmrec_bench.models.base import ModelContext, Recommender
from mmrec_bench.retrieval.base import Retriever
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.types import IntArray

VALID_EXCLUDES = ("train",)
"""Whose items are not ranked at validation, whatever the protocol excludes at test."""


class RetrievalStation:
    """Builds, validates and judges recommenders; see `Station`.

    Args:
        experiment: What to run.
        prepared: Its data.
        device: Where models and dense retrieval live.
        retriever: What ranks; the back-end of the config by default.
    """

    def __init__(
        self, experiment: Experiment, prepared: Prepared, device: torch.device, retriever: Retriever | None = None
    ) -> None:
        self._experiment, self._prepared, self._device = experiment, prepared, device
        protocol = experiment.config.protocol
        assert isinstance(protocol, RetrievalProtocol)
        self._protocol: RetrievalProtocol = protocol
        self._retrieval = experiment.config.retriever or RetrieverConfig()
        self._retriever: Retriever = retriever or build_retriever(self._retrieval, device)
        self._valid = self._evaluator(prepared.split.valid, VALID_EXCLUDES)

    def build(self, seed: int) -> tuple[Recommender, ModelContext]:
        """Return the untrained model on its device, and the context it was built from."""
        return build_model(self._experiment, self._prepared, seed, self._device)

    def validate(self, model: Recommender) -> Validation:
        """Rank the catalogue for every user of the validation part."""
        evaluation = self._valid.evaluate(model.export())
        return Validation(evaluation.means[self._protocol.select_by], evaluation.means)

    def judge(self, model: Recommender, ledger: VaultLedger) -> Judgement:
        """Rank the catalogue for the users of both held-out parts."""
        scoring, split = model.export(), self._prepared.split
        on_valid = self._valid.evaluate(scoring)
        truth = split.test.open(VAULT_PURPOSE, ledger)
        test = self._evaluator(truth, self._protocol.exclude)
        on_test = test.evaluate(scoring)
        slices = test.slices(on_test)
        if (among_cold := cold_only(test, scoring)) is not None:
            slices[COLD_ONLY] = among_cold
        parts = {"valid": on_valid, "test": on_test}
        served = {part: dict(evaluation.rankings.served) for part, evaluation in parts.items()}
        n_truth = {"valid": split.valid.user_counts(), "test": truth.user_counts()}
        return Judgement(
            metrics={
                "valid": write.finite({**on_valid.means, **self._valid.catalogue(on_valid)}),
                "test": write.finite({**on_test.means, **test.catalogue(on_test)}),
                "test_slices": slice_facts(slices),
            },
            per_user=per_user(parts, n_truth, self._prepared),
            rankings=_rankings(parts, self._prepared),
            facts={"retriever": {"backend": self._retrieval.backend, "exact": True, "served": served}},
        )

    def _evaluator(self, truth: Interactions, exclude: tuple[str, ...]) -> RetrievalEvaluator:
        return evaluator(self._protocol, self._prepared, truth, exclude, self._retriever)


def evaluator(
    protocol: RetrievalProtocol,
    prepared: Prepared,
    truth: Interactions,
    exclude: Sequence[str],
    retriever: Retriever,
) -> RetrievalEvaluator:
    """Return the evaluator of a held-out part; items of the parts ``exclude`` are not ranked."""
    split = prepared.split
    return RetrievalEvaluator(
        train=split.train,
        truth=truth,
        excluded=[split.train if part == "train" else split.valid for part in exclude],
        metrics=protocol.metrics,
        cutoffs=protocol.cutoffs,
        retriever=retriever,
        ties=prepared.ties,
        present={name: table.present for name, table in prepared.dataset.features.items()},
    )


def build_model(
    experiment: Experiment, prepared: Prepared, seed: int, device: torch.device
) -> tuple[Recommender, ModelContext]:
    """Return the untrained model on its device, and the context it was built from."""
    config = experiment.config
    seeds = Seeds(seed)
    batch_size = (config.trainer or TrainerConfig()).batch_size
    context = ModelContext(
        prepared.split.train, prepared.dataset.features, prepared.dataset.items, seeds, batch_size=batch_size
    )
    return built(config.model, context, seeds, Recommender, device), context


def slice_facts(slices: Mapping[str, SliceResult]) -> dict[str, dict[str, float]]:
    """Return ``test_slices`` of ``metrics.json``."""
    return {
        name: {"n_users": result.n_users, "n_items": result.n_items, **write.finite(result.metrics)}
        for name, result in slices.items()
    }


def per_user(parts: Mapping[str, Evaluation], n_truth: Mapping[str, IntArray], prepared: Prepared) -> pd.DataFrame:
    """Return ``per_user.parquet``: a row an evaluated user and part."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "part": part_column(part, parts, len(evaluation.users)),
                    "user_id": prepared.dataset.user_ids[evaluation.users],
                    "n_truth": n_truth[part][evaluation.users],
                    **evaluation.per_user,
                }
            )
            for part, evaluation in parts.items()
        ],
        ignore_index=True,
    )


def _rankings(parts: Mapping[str, Evaluation], prepared: Prepared) -> pd.DataFrame:
    user_ids, item_ids = pd.Index(prepared.dataset.user_ids), pd.Index(prepared.dataset.item_ids)
    frames = []
    for part, evaluation in parts.items():
        rankings = evaluation.rankings
        user, rank = (rankings.items >= 0).nonzero()  # padding is not written
        columns = {
            "part": part_column(part, parts, len(user)),
            "user_id": pd.Categorical.from_codes(rankings.users[user], user_ids),
            "rank": (rank + 1).astype(np.int32),
            "item_id": pd.Categorical.from_codes(rankings.items[user, rank], item_ids),
            "score": rankings.scores[user, rank],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
