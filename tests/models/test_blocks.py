from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.blocks import (
    Distinct,
    FeatureProjection,
    FeatureProjections,
    IdEmbedding,
    directions,
    feature_tables,
    gather,
)


def features(n: int = 12, dim: int = 5, absent: tuple[int, ...] = (), modality: str = "image") -> FeatureTable:
    values = np.random.default_rng(1).standard_normal((n, dim)).astype(np.float32)
    present = np.ones(n, np.bool_)
    present[list(absent)] = False
    return FeatureTable(modality, values, present, "test")


@pytest.mark.parametrize(
    ("initialiser", "bound", "std"),
    [("xavier_uniform", (6 / 64_000) ** 0.5, (2 / 64_000) ** 0.5), ("xavier_normal", 1.0, (2 / 64_000) ** 0.5)],
)
def test_start_values_of_tables(initialiser: Any, bound: float, std: float) -> None:
    torch.manual_seed(0)
    table = IdEmbedding(63_936, 64, initialiser).all()
    assert table.abs().max().item() <= bound
    assert table.std().item() == pytest.approx(std, rel=0.01)


def test_rows_are_those_of_the_whole_and_gradients_add_up() -> None:
    table = IdEmbedding(6, 3, "xavier_normal")
    ids = torch.tensor([4, 0, 4])
    assert torch.equal(table.rows(ids), table.all()[ids])
    gather(table.weight, ids).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.sum(dim=1).tolist() == [3.0, 0, 0, 0, 6.0, 0]


@pytest.mark.parametrize("absent", [(), (2, 7)])
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("n_rows", [3, 12, 40])
def test_projected_rows_are_those_of_the_whole(absent: tuple[int, ...], trainable: bool, n_rows: int) -> None:
    projection = FeatureProjection(features(absent=absent), 4, trainable=trainable)
    ids = torch.randint(12, (n_rows,), generator=torch.Generator().manual_seed(2))
    ids[0] = 2
    grads = []
    for rows in (projection.rows(ids), projection.all()[ids]):
        projection.zero_grad()
        rows.square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in projection.parameters() if parameter.grad is not None])
    torch.testing.assert_close(projection.rows(ids), projection.all()[ids])
    torch.testing.assert_close(grads[0], grads[1])


def test_absent_items_share_one_learned_vector_that_starts_at_the_bias() -> None:
    table = features(absent=(2, 7))
    projection = FeatureProjection(table, 4, trainable=True)
    projected = projection.all()
    assert torch.equal(projected[2], projection.linear.bias)
    assert torch.equal(projected[2], projected[7])
    torch.testing.assert_close(projected[3], projection.linear(torch.tensor(table.values[3])))
    projected[[2, 7]].sum().backward()
    assert projection.missing is not None
    assert projection.missing.weight.grad is not None
    assert projection.missing.weight.grad.tolist() == [2.0] * 4
    assert projection.raw.grad is not None
    assert not projection.raw.grad.any()


def test_the_learned_vector_exists_only_where_it_is_read() -> None:
    def names(projection: FeatureProjection) -> set[str]:
        return {name for name, _ in projection.named_parameters()}

    linear = {"linear.weight", "linear.bias"}
    assert names(FeatureProjection(features(), 4)) == linear
    assert names(FeatureProjection(features(), 4, trainable=True)) == {"raw", *linear}
    assert names(FeatureProjection(features(absent=(1,)), 4, replace_missing=False)) == linear
    assert names(FeatureProjection(features(absent=(1,)), 4, bias=False)) == {"linear.weight", "missing.weight"}


def test_raw_features_are_copied_normalised_on_demand_and_not_saved_when_constant() -> None:
    table = features(absent=(3,))
    constant, trained = FeatureProjection(table, 4, normalise=True), FeatureProjection(table, 4, trainable=True)
    expected = np.ones(12)
    expected[3] = 0.0
    np.testing.assert_allclose(constant.raw.norm(dim=1).numpy(), expected, rtol=1e-6)
    assert "raw" not in constant.state_dict()
    assert "raw" in trained.state_dict()
    with torch.no_grad():
        trained.raw.add_(1.0)
    np.testing.assert_array_equal(table.values[0], features().values[0])


def test_lengths_that_overflow_or_underflow_are_normalised() -> None:
    plain = features(n=6, absent=(3,))
    scales = np.array([1e-38, 1e-30, 1.0, 1.0, 1e19, 1e38], np.float32)[:, None]
    extreme = FeatureTable("image", plain.filled() * scales / 4, plain.present, "test")
    expected = torch.from_numpy(plain.filled())
    expected = expected / expected.norm(dim=1, keepdim=True).clamp(min=1e-9)
    torch.testing.assert_close(FeatureProjection(extreme, 4, normalise=True).raw, expected, rtol=1e-5, atol=1e-6)


def test_normalising_rounds_nothing_but_the_quotient() -> None:
    raw = FeatureProjection(features(), 4, normalise=True).raw
    assert torch.equal(raw, torch.nn.functional.normalize(torch.from_numpy(features().filled()), dim=1))


def test_features_are_read_by_modality_and_asked_for(toy: Any) -> None:
    assert [table.modality for table in feature_tables("x", toy.context)] == ["image", "text"]
    with pytest.raises(ModelError, match="x needs features"):
        feature_tables("x", ModelContext(toy.context.train))
    projections = FeatureProjections([features(modality="text"), features(modality="image")], 4)
    assert [modality for modality, _ in projections.by_modality()] == ["text", "image"]


@pytest.mark.parametrize("modality", ["", "clip.v2", "items", "keys", "type", "train", "forward", "modalities"])
def test_any_text_may_name_a_modality(modality: str) -> None:
    projections = FeatureProjections([features(modality=modality), features(modality="image")], 4)
    assert [name for name, _ in projections.by_modality()] == [modality, "image"]
    assert list(projections.rows(torch.tensor([1, 0]))) == [modality, "image"]
    again = FeatureProjections([features(modality=modality), features(modality="image")], 4)
    again.load_state_dict(projections.state_dict())
    assert torch.equal(again[0].linear.weight, projections[0].linear.weight)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_modality_that_no_item_has_is_refused(toy: Any, value: float) -> None:
    empty = FeatureTable("audio", np.full((24, 3), value, np.float32), np.full(24, value == 0), "audio.npy")
    context = ModelContext(toy.context.train, {**toy.context.features, "audio": empty})
    with pytest.raises(
        ModelError, match=r"x: no item has the modality 'audio' \(audio\.npy\): .* Remove it from dataset"
    ):
        feature_tables("x", context)


def test_distinct_rows_are_put_back_in_their_places() -> None:
    ids = torch.tensor([4, 1, 4, 4, 0])
    distinct = Distinct.of(ids)
    assert distinct.ids.tolist() == [0, 1, 4]
    assert distinct.counts.tolist() == [1, 1, 3]
    table = torch.randn(6, 2)
    assert torch.equal(distinct.expand(table[distinct.ids]), table[ids])


def test_rows_of_all_modalities_are_those_of_each() -> None:
    projections = FeatureProjections([features(modality="text"), features(absent=(4,))], 3)
    ids = torch.tensor([4, 1, 4, 4, 0])
    got = projections.rows(ids)
    assert list(got) == ["text", "image"]
    for modality, projection in projections.by_modality():
        torch.testing.assert_close(got[modality], projection.all()[ids])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("absent", [(), (1, 3)])
def test_two_linear_maps_as_one_product(absent: tuple[int, ...], bias: bool) -> None:
    projection, layer = FeatureProjection(features(absent=absent), 4, trainable=True, bias=bias), torch.nn.Linear(4, 3)
    if projection.missing is not None:
        torch.nn.init.normal_(projection.missing.weight)
    both = [layer(projection.all()), projection.through(layer)]
    assert torch.allclose(*both, atol=1e-6)
    weights = [parameter for module in (projection, layer) for parameter in module.parameters()]
    direction = torch.randn_like(both[0])
    for one, other in zip(*(torch.autograd.grad((rows * direction).sum(), weights) for rows in both), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_directions_have_unit_length_and_zeros_are_deaf() -> None:
    rows = torch.randn(2, 3, 4, dtype=torch.float64)
    rows[1, 1] = 0.0
    rows[0, 1] *= 1e-13
    rows.requires_grad_()
    plain = torch.nn.functional.normalize(rows, dim=-1)
    torch.testing.assert_close(directions(rows), plain)
    weights = torch.randn_like(rows)
    got, expected = (torch.autograd.grad((unit * weights).sum(), rows)[0] for unit in (directions(rows), plain))
    assert not got[1, 1].any()
    expected[1, 1] = 0.0
    torch.testing.assert_close(got, expected)
