from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mmrec_bench.models.ctr.base import PointInputs
from mmrec_bench.models.ctr.dcn_v2 import DCNv2
from mmrec_bench.models.ctr.din import DINCtr
from mmrec_bench.models.ctr.fm import FM
from mmrec_bench.models.ctr.item_rate import ItemRate
from tests.models.ctr.worlds import build, odd_context, whole


def test_fm_is_the_sum_over_pairs_of_fields() -> None:
    context = odd_context()
    model = build("fm", context, embedding_dim=3)
    assert isinstance(model, FM)
    with torch.no_grad():
        for parameter in model.pairwise.parameters():
            torch.nn.init.normal_(parameter)
    inputs = whole(model, context).inputs
    fields, pairwise = model.fields(inputs), model.pairwise
    assert pairwise.of_content is not None
    for row in range(len(inputs.users)):
        user, item, *content = fields[row]
        expected = pairwise.bias + pairwise.of_users[inputs.users[row], 0] + pairwise.of_items[inputs.items[row], 0]
        expected = expected + torch.cat(content) @ pairwise.of_content.weight[0]
        expected = expected + sum(one @ two for one, two in itertools.combinations((user, item, *content), 2))
        torch.testing.assert_close(model(inputs)[row], expected)


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_dcn_v2_crosses_as_the_paper_says(structure: str) -> None:
    context = odd_context()
    model = build("dcn-v2", context, embedding_dim=2, structure=structure, n_layers=2)
    assert isinstance(model, DCNv2)
    inputs = whole(model, context).inputs
    start = model.fields(inputs).flatten(1)
    one, two = model.crosses
    first = start * (start @ one.weight.T + one.bias) + start
    second = start * (first @ two.weight.T + two.bias) + first
    table = model.fields.items.all()
    dense = model.dense(start if structure == "parallel" else second, None, table)
    read = torch.cat((second, dense), dim=1) if structure == "parallel" else dense
    torch.testing.assert_close(model(inputs), model.out(read).squeeze(-1))


def test_din_reads_the_latest_clicks_and_not_their_order() -> None:
    context = odd_context()
    model = build("din-ctr", context, history_length=3).eval()
    inputs = whole(model, context).inputs
    assert inputs.histories is not None
    assert inputs.histories.shape[1] == 3
    back = PointInputs(inputs.users, inputs.items, inputs.histories.flip(1))
    torch.testing.assert_close(model.predict(back), model.predict(inputs))
    none = PointInputs(inputs.users, inputs.items, torch.full_like(inputs.histories, -1))
    nothing = PointInputs(inputs.users, inputs.items, inputs.histories[:, :0])
    torch.testing.assert_close(model.predict(none), model.predict(nothing))
    assert not torch.allclose(model.predict(none), model.predict(inputs))
    log = context.train.points
    for row in range(len(log)):
        mine = (log.users == log.users[row]) & (log.labels > 0) & (log.timestamps < log.timestamps[row])
        expected = log.items[mine][::-1][:3].tolist()
        assert inputs.histories[row].tolist() == expected + [-1] * (3 - len(expected))


def test_din_weighs_each_item_of_the_history() -> None:
    context = odd_context()
    model = build("din-ctr", context, embedding_dim=2)
    assert isinstance(model, DINCtr)
    items, history = torch.tensor([3, 4]), torch.tensor([[1, 2], [5, -1]])
    shown = torch.cat(model.fields.of_items(items), dim=-1)
    found = model.interests(shown, history)
    for row, clicked in enumerate(([1, 2], [5])):
        total = torch.zeros_like(shown[row])
        for item in clicked:
            e = torch.cat(model.fields.of_items(torch.tensor([item])), dim=-1)[0]
            total = total + model.weigh(torch.cat((e, shown[row], e * shown[row]))) * e
        torch.testing.assert_close(found[row], total)


@pytest.mark.parametrize("shrink", [0.0, 5.0])
def test_item_rate_counts(shrink: float) -> None:
    context = odd_context()
    model = build("item-rate", context, shrink=shrink)
    assert isinstance(model, ItemRate)
    model.fit(context)
    points = context.train.points
    mean = points.labels.mean()
    for item in range(12):
        rows = points.items == item
        expected = (points.labels[rows].sum() + shrink * mean) / (rows.sum() + shrink) if rows.any() else mean
        assert model.rates[item, 0].item() == pytest.approx(expected, abs=1e-6)
    assert (points.items == 11).sum() == 0
    assert np.isfinite(model.rates.numpy()).all()
