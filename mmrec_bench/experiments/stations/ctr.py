"""The CTR task: the probability that an impression is clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.evaluation.ctr import CtrEvaluation, CtrEvaluator, judged_points
from mmrec_bench.evaluation.ctr_protocol import CtrProtocol
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.stations.base import VAULT_PURPOSE, Judgement, built, part_column
from mmrec_bench.models.ctr.base import CtrContext, CtrModel, CtrPart, Extra
from mmrec_bench.models.ctr.fields import FieldsConfig
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation

KNOWN, NEW = "users:known", "users:new"


class CtrStation:
    """Builds, validates and judges CTR models; see `Station`.

    Histories end where the part begins that an impression is judged in: a model that serves the evaluation window has
    been handed nothing of that window.

    Args:
        experiment: What to run.
        prepared: Its data.
        device: Where models live.
    """

    def __init__(self, experiment: Experiment, prepared: Prepared, device: torch.device) -> None:
        self._experiment, self._prepared, self._device = experiment, prepared, device
        protocol = experiment.config.protocol
        assert isinstance(protocol, CtrProtocol)
        self._protocol: CtrProtocol = protocol
        self._extra = _extra(experiment, prepared)
        train, valid = prepared.split.train, prepared.split.valid
        self._valid_part = self._part(valid, train)
        self._valid = CtrEvaluator(self._valid_part, protocol.metrics, device)

    def build(self, seed: int) -> tuple[CtrModel, CtrContext]:
        """Return the untrained model on its device, and the context it was built from."""
        config, dataset, train = self._experiment.config, self._prepared.dataset, self._prepared.split.train
        seeds, batch_size = Seeds(seed), (config.trainer or TrainerConfig()).batch_size
        part = CtrPart(train, clicks_before(train, train), self._extra)
        context = CtrContext(part, dataset.features, dataset.items, seeds, batch_size)
        return built(config.model, context, seeds, CtrModel, self._device), context

    def validate(self, model: CtrModel) -> Validation:
        """Predict the impressions of the validation part."""
        evaluation = self._valid.evaluate(model)
        return Validation(evaluation.chosen_by(self._protocol.select_by), evaluation.means)

    def judge(self, model: CtrModel, ledger: VaultLedger) -> Judgement:
        """Predict the impressions of both held-out parts."""
        split = self._prepared.split
        truth: Points = split.test.open(VAULT_PURPOSE, ledger)
        part = self._part(truth, split.train.then(split.valid))
        test = CtrEvaluator(part, self._protocol.metrics, self._device)
        on_valid, on_test = self._valid.evaluate(model), test.evaluate(model)
        parts = {"valid": (split.valid, on_valid), "test": (truth, on_test)}
        return Judgement(
            metrics={
                "valid": write.finite(on_valid.means),
                "test": write.finite(on_test.means),
                "test_slices": slices(truth, on_test, split, self._protocol.metrics),
            },
            per_user=per_user(parts, self._prepared),
            rankings=self._impressions(parts),
            facts={
                "impressions": {"recipe": truth.recipe, **{name: _counts(each) for name, (each, _) in parts.items()}}
            },
        )

    def _part(self, points: Points, log: Points) -> CtrPart:
        """Return a held-out part with the clicks of its users in a log that ends before it."""
        return CtrPart(points, clicks_before(points, log, start=int(points.timestamps[0])), self._extra)

    def _impressions(self, parts: Mapping[str, tuple[Points, CtrEvaluation]]) -> pd.DataFrame:
        dataset, frames = self._prepared.dataset, []
        user_ids, item_ids = pd.Index(dataset.user_ids), pd.Index(dataset.item_ids)
        for part, (points, evaluation) in parts.items():
            columns = {
                "part": part_column(part, parts, len(points)),
                "user_id": pd.Categorical.from_codes(points.users, user_ids),
                "item_id": pd.Categorical.from_codes(points.items, item_ids),
                "timestamp": points.timestamps,
                "label": points.labels,
                "probability": evaluation.probabilities,
            }
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)


def _extra(experiment: Experiment, prepared: Prepared) -> Extra | None:
    """Return what the settings put into the extra slot: the vectors of a feature table, zeros for absent items."""
    model = experiment.config.model
    if not isinstance(model, FieldsConfig) or model.extra is None:
        return None
    return Extra.of_vectors(prepared.dataset.features[model.extra].filled(0.0))


def slices(
    points: Points, evaluation: CtrEvaluation, split: Split[Points], metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the metrics of the test part on users who occur before it, and on those who do not."""
    known = np.isin(points.users, np.concatenate([split.train.users, split.valid.users]))
    told = {}
    for name, rows in ((KNOWN, known), (NEW, ~known)):
        if rows.any():
            found = judged_points(points, evaluation.probabilities, metrics, rows)
            counts = {
                "n_users": len(found.users),
                "n_items": len(np.unique(points.items[rows])),
                "n_impressions": int(rows.sum()),
            }
            told[name] = {**counts, **write.finite(found.means)}
    return told


def per_user(parts: Mapping[str, tuple[Points, CtrEvaluation]], prepared: Prepared) -> pd.DataFrame:
    """Return ``per_user.parquet``: a row a user and part."""
    frames = []
    for part, (points, evaluation) in parts.items():
        places = np.searchsorted(evaluation.users, points.users)
        columns = {
            "part": part_column(part, parts, len(evaluation.users)),
            "user_id": prepared.dataset.user_ids[evaluation.users],
            "n_truth": np.bincount(places, points.labels, len(evaluation.users)).astype(np.int64),
            "n_impressions": np.bincount(places, minlength=len(evaluation.users)),
            **evaluation.per_user,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _counts(points: Points) -> dict[str, float]:
    return {"impressions": len(points), "clicks": int(points.labels.sum())}
