"""Rankers from Python: arrays in, arrays out, without YAML and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ConfigError, ConfigIssue, DataError
from mmrec_bench.evaluation.ranking import RankingEvaluation, RankingEvaluator, arranged
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.stations.base import built
from mmrec_bench.models.base import MODELS, ModelConfig, ModelField
from mmrec_bench.models.ranking.base import Ranker, RankingContext
from mmrec_bench.models.ranking.fields import FieldsConfig
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig, Document
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import TrainingResult, Validation
from mmrec_bench.training.trainer import train as run_trainer
from mmrec_bench.types import IntArray

CPU = torch.device("cpu")


class _Fit(BaseConfig):
    """What `fit` is told, validated as in a YAML."""

    model: ModelField
    trainer: TrainerConfig = TrainerConfig()


@dataclass(frozen=True, slots=True)
class _Known:
    """What a ranker knows of lists from those of train.

    Attributes:
        n_items: Number of items of the catalogue.
        n_users: Number of users; None where they are not read.
        n_features: Number of values that describe a row; 0 for none.
        histories: Whether lists have histories.
    """

    n_items: int
    n_users: int | None
    n_features: int
    histories: bool

    @classmethod
    def of(cls, train: Lists, model: ModelConfig) -> _Known:
        """Return what a model may know of its training lists."""
        reads_users = isinstance(model, FieldsConfig) and model.user_ids
        return cls(train.n_items, train.n_users if reads_users else None, _width(train), train.histories is not None)

    def check(self, name: str, lists: Lists) -> None:
        """Refuse lists that lack what is known of those of train, or name what is not."""
        told = None
        if lists.n_items > self.n_items:
            told = f"of {lists.n_items} items, and train of {self.n_items}; number the items of one catalogue"
        elif self.n_users is not None and lists.n_users > self.n_users:
            told = f"of {lists.n_users} users, and train of {self.n_users}, which are read; set user_ids: false"
        elif _width(lists) != self.n_features:
            told = f"described by {_width(lists)} values a row, and those of train by {self.n_features}"
        elif self.histories and lists.histories is None:
            told = "without histories, and those of train have some; give Histories, empty where a user has none"
        if told is not None:
            raise DataError(f"{name}: lists are {told}")


def _width(lists: Lists) -> int:
    return 0 if lists.features is None else lists.features.shape[1]


@dataclass(frozen=True, slots=True)
class FittedRanker:
    """A trained ranker.

    Attributes:
        model: With the weights of the best epoch, in evaluation mode.
        training: What the trainer tells: epochs, losses, validation scores.
    """

    model: Ranker
    training: TrainingResult
    _known: _Known
    _ties: IntArray
    _device: torch.device

    def predict(self, lists: Lists) -> IntArray:
        """Return the place of every row in its list, 1 = top, int64 ``[N]``; labels and clicks are not looked at.

        Raises:
            DataError: The lists are not described as those of train.
            ModelError: The ranker has diverged.
        """
        self._known.check("the lists", lists)
        order, _ = arranged(self.model, lists, self._ties, self._device)
        of, place = (order >= 0).nonzero()
        places = np.empty(len(lists), np.int64)
        places[lists.offsets()[of] + order[of, place]] = place + 1
        return places

    def evaluate(
        self, lists: Lists, metrics: Sequence[str] = ("ndcg",), cutoffs: Sequence[int] = (1, 3, 5, 10)
    ) -> RankingEvaluation:
        """Judge the order of labelled lists; ``evaluation.means["ndcg@10"]`` is a mean over lists.

        Raises:
            ConfigError: An unknown metric, or cutoffs that do not rise.
            DataError: The lists are not described as those of train.
            ProtocolError: The lists hold no labels, or nothing relevant.
        """
        self._known.check("the lists", lists)
        first = f"{metrics[0]}@{cutoffs[0]}" if metrics and cutoffs else "ndcg@10"
        told = {"split": "by-user", "metrics": list(metrics), "cutoffs": list(cutoffs), "select_by": first}
        protocol = Document("evaluate", told).parse(RankingProtocol)
        return RankingEvaluator.of(protocol, lists, self._ties, self._device).evaluate(self.model)


def fit(
    model: str | Mapping[str, Any],
    train: Lists,
    valid: Lists,
    *,
    trainer: Mapping[str, Any] = MappingProxyType({}),
    select_by: str = "ndcg@10",
    features: Mapping[str, FeatureTable] = MappingProxyType({}),
    seed: int = 0,
    device: torch.device = CPU,
) -> FittedRanker:
    """Train a ranker by the common trainer.

    Args:
        model: Name of a registered ranker, or name and settings as under ``model`` in a YAML.
        train: Lists to learn from, with labels, clicks or positions, as ``learns_from`` of the model says.
        valid: Labelled lists by which the weights are chosen; never those that are reported.
        trainer: Settings as under ``trainer`` in a YAML; read by models that are trained by gradient steps.
        select_by: Metric of `valid` by which they are chosen.
        features: Feature tables of the items.
        seed: Of initial weights, order of batches and dropout.
        device: Where to train.

    Raises:
        ConfigError: Unknown or wrong settings, all at once.
        DataError: `valid` is not described as `train` is.
        MMRecBenchError: Whatever else is wrong, such as clicks that are not there.
    """
    settings = {"name": model} if isinstance(model, str) else dict(model)
    told = Document("fit", {"model": settings, "trainer": dict(trainer)}).parse(_Fit)
    entry = MODELS[told.model.name]
    if entry.task != "ranking":
        raise ConfigError("fit", [ConfigIssue("model", f"'{entry.name}' solves the task '{entry.task}'; fit ranks")])
    metric, _, k = select_by.partition("@")
    cutoffs = [int(k)] if k.isdecimal() else [10]
    chosen = {"split": "by-user", "metrics": [metric], "cutoffs": cutoffs, "select_by": select_by}
    protocol = Document("fit", chosen).parse(RankingProtocol)
    known = _Known.of(train, told.model)
    known.check("valid", valid)
    ties = tie_ranks(np.arange(train.n_items).astype(str), protocol.tie_seed)
    evaluator, seeds = RankingEvaluator.of(protocol, valid, ties, device), Seeds(seed)
    context = RankingContext(train, features, seeds=seeds, batch_size=told.trainer.batch_size)
    ranker: Ranker = built(told.model, context, seeds, Ranker, device)

    def validate(current: Ranker) -> Validation:
        means = evaluator.evaluate(current).means
        return Validation(means[select_by], means)

    result = run_trainer(ranker, context, told.trainer, validate, seeds, device)
    ranker.eval()
    return FittedRanker(ranker, result, known, ties, device)
