from __future__ import annotations

import pytest
import torch

from mmrec_bench.errors import ModelError
from mmrec_bench.experiments.stations.base import built
from mmrec_bench.models.base import Recommender
from mmrec_bench.models.ranking.base import Ranker
from mmrec_bench.models.retrieval.mf import MF, MFConfig
from mmrec_bench.testing.subjects import tiny_context

CPU = torch.device("cpu")


def test_initial_weights_hang_on_the_seed_and_on_nothing_drawn_before() -> None:
    states = []
    for seed, drawn_before in ((0, 0), (0, 7), (1, 0)):
        context = tiny_context(seed=seed)
        torch.rand(drawn_before)
        model = built(MFConfig(), context, context.seeds, Recommender, CPU)
        assert isinstance(model, MF)
        states.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_model_of_another_kind_is_refused_by_its_name() -> None:
    context = tiny_context()
    with pytest.raises(ModelError, match="'mf' is registered for retrieval, but its class is no Ranker"):
        built(MFConfig(), context, context.seeds, Ranker, CPU)
