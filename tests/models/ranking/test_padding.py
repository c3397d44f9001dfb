"""Padded batches hold what the lists hold, and arrangements come in canonical order."""

from __future__ import annotations

import numpy as np
import torch

from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.models.ranking.base import Arrangement, ListInputs
from mmrec_bench.models.ranking.padding import PaddedLists

CPU = torch.device("cpu")


def _lists() -> Lists:
    return Lists(
        list_of=np.array([0, 0, 1, 2, 2, 2]),
        items=np.array([3, 1, 2, 2, 3, 1]),
        n_items=4,
        users=np.array([5, 0, 5]),
        n_users=6,
        features=np.arange(6, dtype=np.float32)[:, None] + 1,
        positions=np.array([1, 2, 1, 1, 2, 3]),
        clicks=np.array([1, 0, 1, 0, 0, 1], np.bool_),
        labels=np.array([2, 0, 1, 0, 3, 1]),
        histories=Histories(np.array([0, 3, 3, 4]), np.array([0, 1, 2, 3])),
    )


def test_batches_hold_the_lists_and_nothing_else() -> None:
    padded = PaddedLists(_lists(), np.array([3, 2, 1, 0]), CPU, history_length=2)
    batch = padded.batch(torch.tensor([2, 0, 1]), "clicks")
    inputs = batch.inputs
    assert inputs.users.tolist() == [5, 5, 0]
    assert inputs.items.tolist() == [[2, 3, 1], [3, 1, 0], [2, 0, 0]]
    assert inputs.mask.tolist() == [[True] * 3, [True, True, False], [True, False, False]]
    assert inputs.ties.tolist() == [[1, 0, 2], [0, 2, 3], [1, 3, 3]]
    assert inputs.features is not None
    assert inputs.features[..., 0].tolist() == [[4, 5, 6], [1, 2, 0], [3, 0, 0]]
    assert inputs.histories is not None
    assert inputs.histories.tolist() == [[3, -1], [1, 2], [-1, -1]]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[1, 2, 3], [1, 2, 0], [1, 0, 0]]
    assert batch.targets.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert batch.labels is None
    taught = padded.batch(torch.tensor([2, 0]), "labels")
    assert taught.clicks is None
    assert taught.labels is not None
    assert taught.labels.tolist() == [[0, 3, 1], [2, 0, -1]]
    assert taught.targets.tolist() == [[0, 3, 1], [2, 0, 0]]


def test_equal_scores_are_ordered_by_their_canonical_rank_and_padding_comes_last() -> None:
    inputs = ListInputs(
        users=torch.zeros(2, dtype=torch.int64),
        items=torch.zeros(2, 4, dtype=torch.int64),
        mask=torch.tensor([[True, True, True, True], [True, True, False, False]]),
        ties=torch.tensor([[2, 1, 3, 0], [1, 0, 0, 0]]),
    )
    found = Arrangement.of_scores(torch.tensor([[0.0, 0.0, 1.0, 0.0], [-torch.inf, -torch.inf, 9.0, 9.0]]), inputs)
    assert found.order.tolist() == [[2, 3, 1, 0], [1, 0, -1, -1]]
    assert found.scores[0].tolist() == [1, 0, 0, 0]
    assert bool((found.scores[1] == -torch.inf).all())
