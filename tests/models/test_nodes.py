from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.models.blocks import IdEmbedding
from mmrec_bench.models.nodes import RawFeatures, joint_tables


@pytest.mark.parametrize("law", ["xavier_normal", "xavier_uniform"])
def test_joint_tables_start_with_the_fans_of_both(law: Any) -> None:
    torch.manual_seed(0)
    users, items = joint_tables(3000, 500, 20, law)
    std = (2 / (3500 + 20)) ** 0.5
    assert users.weight.shape == (3000, 20)
    assert items.weight.shape == (500, 20)
    for table in (users, items):
        assert table.weight.std().item() == pytest.approx(std, rel=0.05)
        assert table.weight.requires_grad


def test_frozen_tables_are_state_and_no_parameters() -> None:
    torch.manual_seed(0)
    table, other = (IdEmbedding(4, 3, "xavier_normal", trainable=False) for _ in range(2))
    assert not list(table.parameters())
    assert not torch.equal(table.all(), other.all())
    other.load_state_dict(table.state_dict())
    assert torch.equal(table.all(), other.all())
    assert torch.equal(table.rows(torch.tensor([2, 2])), table.all()[[2, 2]])


def test_absent_raw_features_start_at_the_mean_of_the_others() -> None:
    values = np.array([[1, 2], [9, 9], [3, 4]], np.float32)
    table = FeatureTable("text", values, np.array([True, False, True]), "test")
    found = RawFeatures(table)
    assert found.all().tolist() == [[1, 2], [2, 3], [3, 4]]
    found.all().sum().backward()
    assert found.missing is not None
    assert found.missing.weight.grad is not None
    assert found.missing.weight.grad.tolist() == [1, 1]
    assert RawFeatures(FeatureTable("text", values, np.ones(3, np.bool_), "test")).missing is None
