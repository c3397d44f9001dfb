"""DLA: each side is taught by clicks weighed by the other."""

from __future__ import annotations

import math

import pytest
import torch

from mmrec_bench.models.ranking.dla import DLA
from tests.models.ranking.worlds import build, odd_batch, odd_context


@pytest.mark.parametrize("max_weight", [None, 1.01])
def test_both_losses_are_those_of_weighed_clicks(max_weight: float | None) -> None:
    batch = odd_batch(odd_context(), "clicks")
    model: DLA = build("dla", odd_context(), max_weight=max_weight)
    scores, logits = model.scorer(batch.inputs).tolist(), model.propensities(batch).tolist()
    assert batch.positions is not None
    clicks, positions, lengths = batch.targets.tolist(), batch.positions.tolist(), batch.inputs.mask.sum(dim=1).tolist()

    def expected(learner: list[list[float]], teacher: list[list[float]]) -> float:
        total, lists = 0.0, 0
        for row, length in enumerate(lengths):
            first = min(range(length), key=lambda place: positions[row][place])
            norm = sum(math.exp(value) for value in learner[row][:length])
            for place in range(length):
                if clicks[row][place]:
                    weight = math.exp(teacher[row][first] - teacher[row][place])
                    total -= min(weight, max_weight or math.inf) * math.log(math.exp(learner[row][place]) / norm)
            lists += any(clicks[row][:length])
        return total / lists

    terms = model.loss(batch)
    assert terms["ranking"].item() == pytest.approx(expected(scores, logits), rel=1e-5)
    assert terms["propensity"].item() == pytest.approx(expected(logits, scores), rel=1e-5)


@pytest.mark.parametrize(("term", "taught"), [("ranking", "scorer"), ("propensity", "propensities")])
def test_weights_pass_no_gradient(term: str, taught: str) -> None:
    model: DLA = build("dla", odd_context())
    model.loss(odd_batch(odd_context(), "clicks"))[term].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith(taught + ".")


def test_propensities_are_told_relative_to_the_first() -> None:
    model: DLA = build("dla", odd_context())
    facts = model.facts()
    assert facts["propensity@1"] == 1.0
    logits = torch.tensor([math.log(value) for value in facts.values()])
    torch.testing.assert_close(logits.diff(), model.propensities.by_position().detach().diff(), rtol=0, atol=1e-6)
