"""LambdaMART: what it learns, what it stores, what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.models.ranking.lambdamart import LambdaMARTConfig
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.config_checks import check_config_round_trip, check_documentation, check_parameter_names
from mmrec_bench.testing.subjects import Subject
from tests.models.ranking.worlds import CPU, build, chance, fit, ndcg, odd_batch, odd_context, severe

SMALL = {"n_trees": 60, "n_leaves": 8}


def small_fit(context: RankingContext, **options: Any) -> Any:
    model = build("lambdamart", context, n_trees=10, min_rows=1, **options)
    model.fit(context)
    return model


def test_it_learns_labels_and_clicks_mislead_it_unless_the_bias_of_places_is_estimated() -> None:
    train, test = severe()
    assert ndcg(fit("lambdamart", train, 1, **SMALL), test) > 0.94  # 0.95 is as good as noisy features allow
    naive = ndcg(fit("lambdamart", train, 1, learns_from="clicks", **SMALL), test)
    corrected = ndcg(fit("lambdamart", train, 1, learns_from="clicks", position_bias="estimated", **SMALL), test)
    assert chance(test) < 0.45
    assert naive < 0.75
    assert corrected > naive + 0.1


def test_neither_seeds_nor_threads_change_anything() -> None:
    train, _ = severe()
    train, grown = train.select(np.arange(500)), []
    threads = torch.get_num_threads()
    for seed, n_threads in ((0, 1), (1, 2)):
        context = RankingContext(train, seeds=Seeds(seed))
        model = build("lambdamart", context, **SMALL)
        torch.set_num_threads(n_threads)
        try:
            model.fit(context)
        finally:
            torch.set_num_threads(threads)
        text = bytes(model.grown.tolist()).decode()
        grown.append([line for line in text.splitlines() if not line.startswith("[num_threads")])
    assert grown[0] == grown[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_trees_grow_and_score_wherever_the_tables_are() -> None:
    context, cuda = odd_context(), torch.device("cuda")
    assert context.features
    here, there = (build("lambdamart", context, n_trees=10, min_rows=1).to(device) for device in (CPU, cuda))
    for model in (here, there):
        model.fit(context)
    scores = [m.score(odd_batch(context, "labels", d).inputs).cpu() for m, d in ((here, CPU), (there, cuda))]
    assert torch.equal(*scores)


def test_loaded_trees_score_alike_and_unfitted_ones_refuse() -> None:
    context = odd_context()
    model, inputs = small_fit(context), odd_batch(context, "labels").inputs
    other = build("lambdamart", context, n_trees=10)
    with pytest.raises(ModelError, match="no trees yet"):
        other.score(inputs)
    saved = safetensors.torch.save(model.state_dict())
    other.load_state_dict(safetensors.torch.load(saved), strict=True)
    assert torch.equal(model.score(inputs), other.score(inputs))
    assert len(model.score(inputs)[inputs.mask].unique()) > 5


def test_orders_hang_neither_on_padding_nor_on_how_rows_are_delivered() -> None:
    context = odd_context()
    model, padded = small_fit(context), PaddedLists(context.train, np.arange(12), CPU)
    together = model.arrange(padded.inputs(torch.arange(5)))
    for number, length in enumerate(context.train.lengths().tolist()):
        inputs = padded.inputs(torch.tensor([number]))
        assert model.arrange(inputs).order[0].tolist() == together.order[number, :length].tolist()
        turned = {name: getattr(inputs, name).flip(1) for name in ("items", "ties", "features")}
        order = model.arrange(dataclasses.replace(inputs, **turned)).order
        scores = model.score(inputs)[0]
        assert torch.equal(scores[length - 1 - order[0]], scores[together.order[number, :length]])


def test_rows_and_content_can_be_left_out_and_absent_items_are_missing_numbers() -> None:
    context = odd_context()
    inputs = odd_batch(context, "labels").inputs
    both, rows, content = (small_fit(context, **some) for some in ({}, {"content": False}, {"row_features": False}))
    assert not torch.equal(both.score(inputs), rows.score(inputs))
    assert not torch.equal(both.score(inputs), content.score(inputs))
    known = content._rows(None, torch.tensor([4, 5]))
    assert known.isnan().all(dim=1).tolist() == [False, True]
    same = content.score(inputs)[inputs.items == 4]
    assert (same == same[0]).all(), "rows that differ in their values alone score alike"
    with pytest.raises(ModelError, match="nothing describes a row"):
        build("lambdamart", context, content=False, row_features=False)


@pytest.mark.parametrize(
    "options",
    [{"n_trees": 3}, {"n_leaves": 2}, {"shrinkage": 0.5}, {"min_rows": 4}, {"min_hessian": 1.0}, {"reg_weight": 10.0},
     {"cutoff": 1}, {"sigmoid": 3.0}, {"learns_from": "clicks"}],
)  # fmt: skip
def test_every_setting_counts(options: dict[str, Any]) -> None:
    context = odd_context()
    inputs, found = odd_batch(context, "labels").inputs, []
    for some in ({}, options):
        model = build("lambdamart", context, **{"n_trees": 10, "min_rows": 1, **some})
        model.fit(context)
        found.append(model.score(inputs))
    assert not torch.equal(*found)


def test_what_train_lacks_is_named() -> None:
    context = odd_context()

    def without(**changes: Any) -> RankingContext:
        return dataclasses.replace(context, train=dataclasses.replace(context.train, **changes))

    with pytest.raises(ModelError, match="learns from labels, and the training lists hold none"):
        small_fit(without(labels=None))
    with pytest.raises(ModelError, match="needs the places at which rows were shown"):
        small_fit(without(positions=None, clicks=None), learns_from="clicks", position_bias="estimated")
    with pytest.raises(ValidationError, match="is for learns_from: clicks"):
        LambdaMARTConfig(position_bias="estimated")
    one = {"list_of": np.zeros(19, np.int64), "users": np.zeros(1, np.int64), "histories": None}
    long = dataclasses.replace(context.train, **one)
    with pytest.raises(ModelError, match=r"at most 10000 rows; the longest in train has 19019"):
        small_fit(RankingContext(_repeated(long, 1001)))


def _repeated(lists: Any, times: int) -> Any:
    """One list of all rows, many times over."""
    changes = {name: np.tile(getattr(lists, name), times) for name in ("list_of", "items", "labels")}
    changes |= {
        "features": np.tile(lists.features, (times, 1)),
        "positions": None,
        "clicks": None,
        "propensities": None,
    }
    return dataclasses.replace(lists, **changes)


@pytest.mark.parametrize("check", [check_config_round_trip, check_documentation, check_parameter_names])
@pytest.mark.parametrize("name", ["initial", "lambdamart"])
def test_configs(name: str, check: Any) -> None:
    check(Subject(MODELS[name]))
