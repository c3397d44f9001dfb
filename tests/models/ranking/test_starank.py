"""STARank: what its reader and arranger must keep, and that it learns what it is taught."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError, ModelError
from mmrec_bench.models.ranking.base import ListInputs, RankingContext, Teaching
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.models.ranking.starank import STARank, STARankConfig
from mmrec_bench.plackett_luce import step_log_likelihood
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.batches import ListBatches

CPU = torch.device("cpu")
KINDS = [{"position": "decoder"}, {"position": "embedding"}, {"position": "none"}, {"reader": "transformer"}]
every_kind = pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(options.values()))


def built(context: RankingContext, **options: object) -> STARank:
    """A model in evaluation mode whose weights are large enough for its choices to differ clearly."""
    torch.manual_seed(3)
    settings = {"embedding_dim": 6, "hidden_dim": 8, "item_ids": True, "user_ids": True, **options}
    model = STARank(STARankConfig.model_validate({"name": "starank", **settings}), context).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def served(context: RankingContext, *lists: int, history_length: int = 10) -> ListInputs:
    padded = PaddedLists(context.train, np.arange(context.train.n_items)[::-1].copy(), CPU, history_length)
    return padded.inputs(torch.tensor(lists))


def log_likelihood(model: STARank, inputs: ListInputs, target: Tensor) -> Tensor:
    return step_log_likelihood(model.arranger(model.read(inputs), target), target, inputs.mask).sum(dim=1)


def repeated(inputs: ListInputs, n: int) -> ListInputs:
    fields = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    return ListInputs(**{name: None if v is None else v.repeat_interleave(n, 0) for name, v in fields.items()})


@every_kind
def test_probabilities_of_all_orders_sum_to_one(small: RankingContext, options: dict[str, object]) -> None:
    orders = torch.tensor(list(itertools.permutations(range(5))))
    for seed in (0, 4):
        inputs = repeated(served(small, seed), len(orders))
        with torch.no_grad():
            total = log_likelihood(built(small, **options), inputs, orders).exp()
        assert total.sum().item() == pytest.approx(1, abs=1e-5)
        assert total.max() > 2 / len(orders), "the model prefers some order"


@every_kind
@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_the_order_of_candidates_does_not_matter(
    small: RankingContext, options: dict[str, object], decoding: str
) -> None:
    model, inputs = built(small, **options, decoding=decoding), served(small, 0, 4)
    shuffle = torch.tensor([[3, 0, 4, 1, 2], [1, 2, 0, 4, 3]])
    first, second = model.arrange(inputs), model.arrange(inputs.permuted(shuffle))
    assert torch.equal(shuffle.gather(1, second.order), first.order)
    assert not torch.equal(first.order, torch.arange(5).expand(2, -1))
    # And within the model, before rows are put in canonical order.
    with torch.no_grad():
        rows, moved = model.read(inputs).rows, model.read(inputs.permuted(shuffle)).rows
    torch.testing.assert_close(rows.gather(1, shuffle.unsqueeze(2).expand_as(rows)), moved)


@every_kind
def test_the_order_of_a_history_matters(small: RankingContext, options: dict[str, object]) -> None:
    model, inputs = built(small, **options), served(small, 0, 5)
    assert inputs.histories is not None
    lengths = (inputs.histories >= 0).sum(dim=1, keepdim=True)
    turned = inputs.histories.gather(1, (lengths - 1 - torch.arange(inputs.histories.shape[1])) % lengths)
    turned = turned.masked_fill(inputs.histories < 0, -1)
    target = torch.tensor([[0, 1, 2], [0, 1, 2]])
    with torch.no_grad():
        found = log_likelihood(model, inputs, target)
        other = log_likelihood(model, dataclasses.replace(inputs, histories=turned), target)
    assert ((found - other).abs() > 1e-3).all()


def test_what_was_placed_changes_the_odds_of_the_rest_for_the_decoder_alone(small: RankingContext) -> None:
    inputs = served(small, 0, 0)
    for position, hangs in (("decoder", True), ("embedding", False), ("none", False)):
        model = built(small, position=position)
        with torch.no_grad():
            scores = model.arranger(model.read(inputs), torch.tensor([[0, 2], [1, 2]]))[:, -1]
        odds = scores[:, 3] - scores[:, 4]  # both are left
        assert (abs(odds[0] - odds[1]).item() > 1e-3) == hangs
    model = built(small, position="embedding")
    with torch.no_grad():
        scores = model.arranger(model.read(inputs), torch.tensor([[0, 2], [1, 2]]))
    odds = scores[0, :, 3] - scores[0, :, 4]
    assert abs(odds[0] - odds[1]).item() > 1e-3, "the rank itself changes them: without the tanh it would cancel"


def test_without_positions_it_is_listmle(small: RankingContext) -> None:
    model, inputs = built(small, position="none"), served(small, 0)
    target = torch.tensor([[3, 1, 4, 0, 2]])
    with torch.no_grad():
        scores = model.arranger(model.read(inputs), target)[0, 0].double()
        found = log_likelihood(model, inputs, target)
    tails = [scores[target[0, step:]].logsumexp(dim=0) for step in range(5)]
    assert found.item() == pytest.approx((scores.sum() - sum(tails)).item(), rel=1e-5)


@every_kind
def test_beams_find_orders_at_least_as_likely_as_greed_and_the_best_if_wide_enough(
    small: RankingContext, options: dict[str, object]
) -> None:
    inputs = served(small, *range(6))
    with torch.no_grad():
        greedy = built(small, **options).decode(inputs)[1]
        beam = built(small, **options, decoding="beam", beam_width=3).decode(inputs)[1]
        widest = built(small, **options, decoding="beam", beam_width=120)
        order, log_prob = widest.decode(inputs)
        assert (beam >= greedy - 1e-5).all()
        assert (log_prob >= beam - 1e-5).all()
        for row, length in enumerate(inputs.mask.sum(dim=1).tolist()):
            orders = torch.tensor(list(itertools.permutations(range(length))))
            one = served(small, row)
            likely = log_likelihood(widest, repeated(one, len(orders)), orders)
            assert log_prob[row].item() == pytest.approx(likely.max().item(), abs=1e-4)
            assert order[row, :length].tolist() == orders[likely.argmax()].tolist()


@every_kind
@pytest.mark.parametrize("decoding", ["greedy", "beam", "sample"])
def test_decoded_orders_are_whole_and_as_likely_as_said(
    small: RankingContext, options: dict[str, object], decoding: str
) -> None:
    model, inputs = built(small, **options, decoding=decoding), served(small, *range(6))
    with torch.no_grad():
        order, log_prob = model.decode(inputs)
        torch.testing.assert_close(log_prob, log_likelihood(model, inputs, order), atol=1e-5, rtol=1e-5)
        arranged = model.arrange(inputs)
    for row, length in enumerate(inputs.mask.sum(dim=1).tolist()):
        for found in (order[row], arranged.order[row]):
            assert sorted(found[:length].tolist()) == list(range(length))
            assert (found[length:] == -1).all()
        assert arranged.scores[row, :length].tolist() == list(range(length, 0, -1))
        assert (arranged.scores[row, length:] == -torch.inf).all()


@every_kind
def test_samples_come_by_their_probability_and_are_the_same_each_time(
    small: RankingContext, options: dict[str, object]
) -> None:
    n = 20_000
    model, one = built(small, **options, decoding="sample"), served(small, 5)
    inputs, orders = repeated(one, n), torch.tensor(list(itertools.permutations(range(3))))
    with torch.no_grad():
        found, _ = model.decode(inputs)
        expected = log_likelihood(model, repeated(one, 6), orders).exp()
        assert torch.equal(found, model.decode(inputs)[0])
    shares = (found.unsqueeze(1) == orders).all(dim=2).float().mean(dim=0)
    torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)
    other = built(dataclasses.replace(small, seeds=Seeds(1)), **options, decoding="sample")
    assert not torch.equal(found, other.decode(inputs)[0])


@every_kind
@pytest.mark.parametrize("teaches", ["labels", "clicks"])
def test_padding_changes_neither_loss_nor_gradients(
    small: RankingContext, options: dict[str, object], teaches: Teaching
) -> None:
    """A list alone, and padded beside a longer one of which nothing is to be learned."""
    labels = np.where(small.train.list_of == 2, np.arange(len(small.train)) % 3, 0)
    lists = dataclasses.replace(small.train, labels=labels, clicks=labels > 0)
    model, padded = built(small, **options, learns_from=teaches), PaddedLists(lists, np.zeros(12, np.int64), CPU, 10)
    losses = []
    for ids in ([2], [2, 0]):
        torch.manual_seed(0)
        losses.append(model.loss(padded.batch(torch.tensor(ids), teaches))["plackett_luce"])
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    assert losses[0].item() > 0.1
    alone, beside = (torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) for loss in losses)
    for name, one, other in zip(dict(model.named_parameters()), alone, beside, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4, msg=name)


@every_kind
def test_gradients_reach_every_parameter(small: RankingContext, options: dict[str, object]) -> None:
    model = built(small, **options)
    batch = PaddedLists(small.train, np.zeros(12, np.int64), CPU, 10).batch(torch.arange(6), "labels")
    model.loss(batch)["plackett_luce"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_every_switch_of_the_loss_changes_it(small: RankingContext) -> None:
    batch = PaddedLists(small.train, np.zeros(12, np.int64), CPU, 10).batch(torch.arange(6), "labels")
    found = []
    for options in (
        {},
        {"ties": "marginal"},
        {"stop": "end"},
        {"max_steps": 2},
        {"weights": "dcg"},
        {"per_step": True},
    ):
        torch.manual_seed(0)
        found.append(built(small, **options).loss(batch)["plackett_luce"].item())
    assert len({round(value, 5) for value in found}) == len(found)


@pytest.mark.parametrize(
    ("teaches", "options"),
    [
        ("labels", {}),
        ("labels", {"ties": "marginal", "position": "embedding"}),
        ("clicks", {"ties": "marginal"}),
        ("order", {}),
        ("order", {"position": "none"}),
    ],
)
def test_a_model_that_has_learned_a_few_lists_arranges_them_as_taught(
    small: RankingContext, teaches: Teaching, options: dict[str, object]
) -> None:
    """The loss falls to that of a perfect model; among rows that are not told apart any order is right."""
    labels = np.concatenate([np.random.default_rng(1).permutation(n) for n in small.train.lengths()])
    clicks = labels == np.repeat(small.train.lengths() - 1, small.train.lengths())
    lists = dataclasses.replace(small.train, labels=labels, clicks=clicks)
    model = built(small, learns_from=teaches, **options, hidden_dim=32, stop="relevant").train()
    source = ListBatches(lists, 6, Seeds(0), CPU, teaches=teaches, history_length=10)
    (batch,) = source.epoch(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        loss = model.loss(batch)["plackett_luce"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    arranged = model.eval().arrange(batch.inputs)
    taught = batch.targets.gather(1, arranged.order.clamp(min=0)).masked_fill(arranged.order < 0, 0)
    best = batch.targets.sort(dim=1, descending=True).values
    assert torch.equal(taught, best)


def test_lists_that_are_no_order_are_refused(small: RankingContext) -> None:
    def source(lists: Lists) -> ListBatches:
        return ListBatches(lists, 2, Seeds(0), CPU, teaches="order", history_length=0)

    source(small.train)
    assert small.train.positions is not None
    positions = small.train.positions.copy()
    positions[1] = 1
    with pytest.raises(DataError, match=r"list 0 \(from 0\), of 5 rows, has the places 1, 1, 3, 4, 5"):
        source(dataclasses.replace(small.train, positions=positions))
    positions[1] = 6
    with pytest.raises(DataError, match="has the places 1, 3, 4, 5, 6"):
        source(dataclasses.replace(small.train, positions=positions))


def test_histories_of_unknown_items_and_uneven_heads_are_refused(small: RankingContext) -> None:
    with pytest.raises(ModelError, match="nothing is known of their items"):
        built(small, item_ids=False)
    assert built(small, item_ids=False, history_length=0).history_length == 0
    with pytest.raises(ModelError, match=r"hidden_dim \(8\) must be a multiple of model.n_heads \(3\)"):
        built(small, reader="transformer", n_heads=3)


def test_lists_without_histories_are_read_with_a_learned_start(small: RankingContext) -> None:
    context = dataclasses.replace(small, train=dataclasses.replace(small.train, histories=None))
    model = built(context, user_ids=False)
    read = model.read(served(context, 0, 1))
    assert model.history_length == 0
    assert torch.equal(read.user[0], model.history.start[0])
    assert torch.equal(read.user[0], read.user[1])
