"""Fields of rows: which there are, how values are scaled, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.models.ranking.fields import FieldsConfig, RowFields
from mmrec_bench.models.ranking.padding import PaddedLists

VALUES = np.array([[1, 5], [2, 5], [3, 5], [-100, 5]], np.float32)


def _context(values: np.ndarray | None = VALUES) -> RankingContext:
    lists = Lists(
        np.array([0, 0, 0, 1]), np.array([0, 1, 2, 1]), 3, np.array([1, 0]), 2, features=values, labels=np.arange(4)
    )
    table = FeatureTable("image", np.eye(3, 4, dtype=np.float32), np.ones(3, np.bool_), "test")
    return RankingContext(lists, {"image": table})


def _fields(context: RankingContext, **settings: object) -> tuple[RowFields, torch.Tensor]:
    fields = RowFields(FieldsConfig.model_validate({"name": "test", "embedding_dim": 8, **settings}), context)
    lists = PaddedLists(context.train, np.arange(3), torch.device("cpu"))
    return fields, fields(lists.inputs(torch.tensor([0, 1])))


def test_every_field_can_be_had() -> None:
    for settings, n_fields in (
        ({}, 2),
        ({"content": False}, 1),
        ({"row_features": False}, 1),
        ({"item_ids": True, "user_ids": True}, 4),
    ):
        fields, found = _fields(_context(), **settings)
        assert found.shape == (2, 3, n_fields, 8)
        assert fields.n_fields == n_fields


def test_values_are_scaled_by_train_and_constant_columns_do_no_harm() -> None:
    fields, _ = _fields(_context())
    scaled = fields.scaled(torch.tensor(VALUES)).numpy()
    np.testing.assert_allclose(scaled[:, 0], (VALUES[:, 0] - VALUES[:, 0].mean()) / VALUES[:, 0].std(), rtol=1e-5)
    assert (scaled[:, 1] == 0).all()
    logs = np.sign(VALUES[:, 0]) * np.log1p(np.abs(VALUES[:, 0]))
    fields, _ = _fields(_context(), scaling="log-standard")
    found = fields.scaled(torch.tensor(VALUES)).numpy()[:, 0]
    np.testing.assert_allclose(found, (logs - logs.mean()) / logs.std(), rtol=1e-5)
    fields, _ = _fields(_context(), scaling="none")
    np.testing.assert_array_equal(fields.scaled(torch.tensor(VALUES)).numpy(), VALUES)


def test_rows_that_nothing_describes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"nothing describes a row.*model.item_ids: true"):
        _fields(dataclasses.replace(_context(None), features={}))
