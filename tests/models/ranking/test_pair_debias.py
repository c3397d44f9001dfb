"""PairDebias: weighed pairs, and the movement of their ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmrec_bench.models.ranking.pair_debias import PairDebias
from tests.models.ranking.worlds import build, odd_batch, odd_context


@pytest.mark.parametrize("max_weight", [None, 1.2])
@pytest.mark.parametrize("norm", [0.0, 1.0])
def test_pairs_are_weighed_by_both_ratios_which_move(max_weight: float | None, norm: float) -> None:
    batch = odd_batch(odd_context(), "clicks")
    model: PairDebias = build("pair-debias", odd_context(), max_weight=max_weight, ratio_norm=norm, ratio_step=0.25)
    n = len(model.clicked)
    model.clicked.copy_(torch.linspace(1.3, 0.4, n))
    model.unclicked.copy_(torch.linspace(0.7, 1.1, n))
    means = [model.clicked.numpy().copy(), model.unclicked.numpy().copy()]
    plus, minus = ((values / values[1]) ** (1 / (norm + 1)) for values in means)

    scores = model.scorer(batch.inputs).tolist()
    total, lists, sums = 0.0, 0, np.zeros((2, n))
    assert batch.positions is not None
    for row, length in enumerate(batch.inputs.mask.sum(dim=1).tolist()):
        clicks, positions = batch.targets[row, :length].tolist(), batch.positions[row, :length].tolist()
        pairs = [(i, j) for i in range(length) for j in range(length) if clicks[i] and not clicks[j]]
        lists += bool(pairs)
        for i, j in pairs:
            loss = math.log(1 + math.exp(scores[row][j] - scores[row][i]))
            t_plus, t_minus = plus[positions[i]], minus[positions[j]]
            total += loss * min(1 / (t_plus * t_minus), max_weight or math.inf)
            sums[0, positions[i]] += loss / t_minus
            sums[1, positions[j]] += loss / t_plus

    assert model.loss(batch)["pairs"].item() == pytest.approx(total / lists, rel=1e-5)
    np.testing.assert_allclose(model.clicked, 0.75 * means[0] + 0.25 * sums[0], rtol=1e-5)
    np.testing.assert_allclose(model.unclicked, 0.75 * means[1] + 0.25 * sums[1], rtol=1e-5)
    after = model.clicked.clone()
    model.eval().loss(batch)
    assert torch.equal(model.clicked, after)


def test_positions_without_clicks_stay_finite() -> None:
    batch = odd_batch(odd_context(), "clicks")
    model: PairDebias = build("pair-debias", odd_context(), ratio_step=1.0, max_weight=None)
    batch.targets[:, 1:] = 0
    for _ in range(3):
        loss = model.loss(batch)["pairs"]
        model.zero_grad()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(math.isfinite(value) for value in model.facts().values())
