"""Two towers: the likelihood of a click."""

from __future__ import annotations

import pytest
import torch

from mmrec_bench.models.ranking.two_tower import TwoTower
from tests.models.ranking.worlds import build, odd_batch, odd_context


@pytest.mark.parametrize("link", ["product", "additive"])
def test_the_loss_is_the_cross_entropy_of_clicks(link: str) -> None:
    batch = odd_batch(odd_context(), "clicks")
    model: TwoTower = build("two-tower", odd_context(), link=link, popularity="exposures")
    f, g = model.scorer(batch.inputs), model.observation(batch)
    clicks = (f + g).sigmoid() if link == "additive" else f.sigmoid() * g.sigmoid()
    mask = batch.inputs.mask
    expected = torch.nn.functional.binary_cross_entropy(clicks[mask], batch.targets[mask])
    torch.testing.assert_close(model.loss(batch)["click"], expected)


def test_observation_hangs_on_position_and_popularity_alone() -> None:
    batch = odd_batch(odd_context(), "clicks")
    assert batch.positions is not None
    mask = batch.inputs.mask
    of_positions: TwoTower = build("two-tower", odd_context())
    logits, by_position = of_positions.observation(batch)[mask], of_positions.observation.by_position()
    torch.testing.assert_close(logits, by_position[batch.positions[mask] - 1])
    of_both: TwoTower = build("two-tower", odd_context(), popularity="exposures")
    rows = torch.stack([batch.positions[mask], of_both.observation.shown.counts[batch.inputs.items[mask]]], dim=1)
    kinds, places = rows.unique(dim=0, return_inverse=True)
    assert len(of_positions.observation.by_position()) < len(kinds)
    logits = of_both.observation(batch)[mask].detach()
    for kind in range(len(kinds)):
        torch.testing.assert_close(logits[places == kind].std(correction=0).item(), 0.0, atol=1e-6, rtol=0)
