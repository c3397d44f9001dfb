"""The ranking task: given lists, put in order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.evaluation.ranking import RankingEvaluation, RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.candidates import RetrievedCandidates
from mmrec_bench.experiments.click_log import log_clicks
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.stations.base import VAULT_PURPOSE, Judgement, built, part_column
from mmrec_bench.models.ranking.base import Ranker, RankerConfig, RankingContext
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.types import IntArray


class RankingStation:
    """Builds, validates and judges rankers; see `Station`.

    Args:
        experiment: What to run.
        prepared: Its data.
        device: Where models live.
    """

    def __init__(self, experiment: Experiment, prepared: Prepared, device: torch.device) -> None:
        self._experiment, self._prepared, self._device = experiment, prepared, device
        protocol = experiment.config.protocol
        assert isinstance(protocol, RankingProtocol)
        self._protocol: RankingProtocol = protocol
        candidates, model = experiment.config.inputs.candidates, experiment.config.model
        teaching = model.learns_from if isinstance(model, RankerConfig) else None
        self._candidates = None if candidates is None else RetrievedCandidates(candidates.n, teaching, prepared, device)
        self._valid_lists = self._lists(prepared.split.valid)
        self._valid = self._evaluator(self._valid_lists)

    def build(self, seed: int) -> tuple[Ranker, RankingContext]:
        """Return the untrained ranker on its device, and the context it was built from."""
        config, dataset, seeds = self._experiment.config, self._prepared.dataset, Seeds(seed)
        train: Lists = self._prepared.split.train if self._candidates is None else self._candidates.train
        if (clicks := config.dataset.clicks) is not None:
            train = log_clicks(train, clicks)
        batch_size = (config.trainer or TrainerConfig()).batch_size
        context = RankingContext(train, dataset.features, dataset.items, seeds, batch_size)
        return built(config.model, context, seeds, Ranker, self._device), context

    def validate(self, model: Ranker) -> Validation:
        """Put the lists of the validation part in order."""
        evaluation = self._valid.evaluate(model)
        return Validation(evaluation.means[self._protocol.select_by], evaluation.means)

    def judge(self, model: Ranker, ledger: VaultLedger) -> Judgement:
        """Put the lists of both held-out parts in order."""
        split = self._prepared.split
        truth = self._lists(split.test.open(VAULT_PURPOSE, ledger))
        on_valid, on_test = self._valid.evaluate(model), self._evaluator(truth).evaluate(model)
        parts = {"valid": (self._valid_lists, on_valid), "test": (truth, on_test)}
        return Judgement(
            metrics={
                "valid": write.finite(on_valid.means),
                "test": write.finite(on_test.means),
                "test_slices": {},
            },
            per_user=per_list(parts, self._prepared),
            rankings=self._rankings(parts),
            facts={"lists": {part: _counts(lists, evaluation) for part, (lists, evaluation) in parts.items()}},
        )

    def _lists(self, truth: Lists | Interactions) -> Lists:
        """Return the lists of a held-out part: those of the data, or what the first stage finds for its users."""
        if isinstance(truth, Lists):
            return truth
        assert self._candidates is not None
        return self._candidates.held_out(truth)

    def _evaluator(self, lists: Lists) -> RankingEvaluator:
        return RankingEvaluator.of(self._protocol, lists, self._prepared.ties, self._device)

    def _rankings(self, parts: Mapping[str, tuple[Lists, RankingEvaluation]]) -> pd.DataFrame:
        dataset, frames = self._prepared.dataset, []
        user_ids, item_ids = pd.Index(dataset.user_ids), pd.Index(dataset.item_ids)
        for part, (lists, evaluation) in parts.items():
            of, place = (evaluation.order >= 0).nonzero()
            rows = lists.offsets()[of] + evaluation.order[of, place]
            columns = {
                "part": part_column(part, parts, len(of)),
                "list": of,
                "user_id": pd.Categorical.from_codes(lists.users[of], user_ids),
                "rank": (place + 1).astype(np.int32),
                "item_id": pd.Categorical.from_codes(lists.items[rows], item_ids),
                "score": evaluation.scores[of, place],
                "label": None if lists.labels is None else lists.labels[rows].astype(np.int32),
            }
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)


def per_list(parts: Mapping[str, tuple[Lists, RankingEvaluation]], prepared: Prepared) -> pd.DataFrame:
    """Return ``per_user.parquet``: a row a list that counts, and part."""
    frames = []
    for part, (lists, evaluation) in parts.items():
        counted = np.flatnonzero(evaluation.counted)
        missed = 0 if lists.missed is None else lists.missed[counted]
        columns = {
            "part": part_column(part, parts, len(counted)),
            "list": counted,
            "user_id": prepared.dataset.user_ids[lists.users[counted]],
            "n_truth": _n_relevant(lists)[counted] + missed,
            **{name: values[counted] for name, values in evaluation.per_list.items()},
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _n_relevant(lists: Lists) -> IntArray:
    """Return the relevant rows of each list, int64 ``[n_lists]``."""
    assert lists.labels is not None  # the evaluator has refused lists without
    return np.bincount(lists.list_of, lists.labels > 0, lists.n_lists).astype(np.int64)


def _counts(lists: Lists, evaluation: RankingEvaluation) -> dict[str, float]:
    """Return what was judged; of candidates also the ceiling, the best recall over whole lists."""
    relevant = _n_relevant(lists)
    truth = relevant if lists.missed is None else relevant + lists.missed
    facts = {
        "lists": float(lists.n_lists),
        "rows": float(len(lists)),
        "counted": float(evaluation.counted.sum()),
        "without_relevant": float((truth == 0).sum()),
    }
    if lists.missed is not None:
        facts["ceiling"] = float((relevant[truth > 0] / truth[truth > 0]).mean())
    return facts
