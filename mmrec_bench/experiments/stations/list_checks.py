"""Whether lists hold what an experiment learns from and is judged by, asked before anything is trained."""

from __future__ import annotations

import torch

from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split import Split
from mmrec_bench.errors import ModelError
from mmrec_bench.evaluation.ranking import RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.click_log import check_clickable
from mmrec_bench.experiments.schema.experiment import ExperimentConfig
from mmrec_bench.models.ranking.base import RankerConfig
from mmrec_bench.models.ranking.rerankers import RerankerConfig
from mmrec_bench.types import IntArray


def check_lists(config: ExperimentConfig, split: Split[Lists], ties: IntArray) -> None:
    """Refuse lists that lack what is learned from, or what is judged by; the test part stays sealed.

    Raises:
        ModelError: The training lists do not hold what the model learns from, or held-out lists are in another order
            than those that it learns the order of.
        ProtocolError: The validation lists cannot be judged.
        DataError: No clicks can be simulated, or orders are not whole.
    """
    assert isinstance(config.protocol, RankingProtocol)
    RankingEvaluator.of(config.protocol, split.valid, ties, torch.device("cpu"))
    if (clicks := config.dataset.clicks) is not None:
        check_clickable(split.train, clicks)
        if isinstance(config.model, RerankerConfig) and config.model.initial_order and clicks.order != "delivered":
            raise ModelError(
                f"model '{config.model.label}' reads the order in which rows are shown; dataset.clicks shows training "
                f"lists in an order of its own ({clicks.order}), and held-out lists are as delivered. Set "
                "model.initial_order: false, or dataset.clicks.order: delivered"
            )
    elif isinstance(config.model, RankerConfig):
        _check_taught(config.model, split.train)


def _check_taught(model: RankerConfig, train: Lists) -> None:
    """Refuse training lists as delivered that do not teach what the model learns."""
    facts = {"labels": train.labels, "clicks": train.clicks, "order": train.positions}
    if facts[model.learns_from] is None:
        given = ", ".join(name for name, array in facts.items() if array is not None) or "none of these"
        simulated = ", or simulate clicks: dataset.clicks" if model.learns_from == "clicks" else ""
        raise ModelError(
            f"model '{model.label}' learns from {model.learns_from}, and the training lists give {given}. Change "
            f"model.learns_from{simulated}"
        )
    if model.learns_from == "order":
        train.require_orders()
