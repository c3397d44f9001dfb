"""The weight trainer of MAGUS: its products, loss and gradients against dense and slow references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Supports, mined_lexicon
from mmrec_bench.models.base import Triplets
from mmrec_bench.models.interactive.magus import MAGUS, MagusConfig, MagusFixedConfig
from tests.models.interactive.worlds import (
    N_ITEMS,
    N_USERS,
    Slow,
    build,
    context_of,
    everything,
    lexicon_of,
    play,
    wanted_of,
)

DIM = 5


def magus(seed: int = 0, world: int = 1, **options: Any) -> tuple[MAGUS, Slow]:
    """Return MAGUS with parameters away from their start, where weights and strengths differ."""
    lexicon = lexicon_of(world)
    system = build("magus", context_of(lexicon, seed=seed), embedding_dim=DIM, **options)
    assert isinstance(system, MAGUS)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return system, Slow(lexicon)


def test_the_document_names_the_defaults() -> None:
    """Each row of its table: a setting, its default, whose it is."""
    lines = (Path(__file__).parents[3] / "docs/interactive.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("| setting | default | of | what |") + 2
    rows = [line.strip("|").split("|")[:2] for line in lines[start : lines.index("", start)]]
    told = {name.strip(" `"): value.strip(" `") for name, value in rows}
    fields = MagusConfig.model_fields | MagusFixedConfig.model_fields
    known = {name: str(field.default) for name, field in fields.items() if name not in ("name", "preset")}
    assert told == {name: value.lower() for name, value in known.items()}


def batch(context: Any, n: int = 60, seed: int = 0) -> Triplets:
    rng, train = np.random.default_rng(seed), context.train
    rows, seen = rng.integers(len(train), size=n), train.matrix().toarray() > 0
    negatives = [rng.choice(np.flatnonzero(~seen[user])) for user in train.users[rows]]
    return Triplets(*(torch.from_numpy(np.array(part)) for part in (train.users[rows], train.items[rows], negatives)))


def dense(system: MAGUS, slow: Slow) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted A+ and A- ``[n, n]`` from the formulas, one pair at a time."""
    h = system.nodes.all().detach()
    n = len(h)
    raising, lowering = torch.zeros(n, n), torch.zeros(n, n)
    form, strength = system.improvement, system.strength
    for a in range(n):
        for b in range(n):
            if slow.improves[a, b]:
                value = form.weight[0] @ (h[a] + h[b]) / 2 + form.bias[0]
                raising[a, b] = F.softplus(value)
            if slow.clashes[a, b]:
                g = [1.0, 1.0] if strength is None else [F.softplus(strength(h[node])).item() for node in (a, b)]
                lowering[a, b] = float(slow.clashes[a, b]) * g[0] * g[1]
    return raising.detach(), lowering


def test_weights_are_those_of_the_formulas() -> None:
    system, slow = magus()
    raising, lowering = dense(system, slow)
    improving, strengths = system.weights()
    entries = system.relations.improving.tocoo()
    np.testing.assert_allclose(improving, raising.numpy()[entries.row, entries.col], rtol=1e-5)
    assert (improving > 0).all()
    expected = torch.from_numpy(np.outer(strengths, strengths)) * torch.from_numpy(slow.clashes).float()
    torch.testing.assert_close(lowering, expected, rtol=1e-5, atol=1e-6)


def test_inhibition_is_multiplied_without_being_written_out() -> None:
    for world in range(3):
        system, slow = magus(world=world)
        _, lowering = dense(system, slow)
        x = torch.randn(len(lowering), 4)
        with torch.no_grad():
            found = system._inhibited(torch.from_numpy(system.weights()[1]), x)
        torch.testing.assert_close(found, lowering @ x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"n_layers": 1}, {"n_layers": 3}, {"inhibition": 0.0}, {"inhibition": 0.4}], ids=str
)
def test_features_propagate_as_the_dense_matrix_does(options: dict[str, Any]) -> None:
    system, slow = magus(**options)
    raising, lowering = dense(system, slow)
    rate = system.config.inhibition
    mean_up, mean_down = (each / each.sum(dim=1, keepdim=True).clamp(min=1e-6) for each in (raising, lowering))
    layers = [system.nodes.all().detach()]
    for layer in system.layers:
        layers.append(F.leaky_relu((mean_up @ layers[-1] - rate * mean_down @ layers[-1]) @ layer.weight.detach().T))
    torch.testing.assert_close(system._propagated().detach(), torch.stack(layers).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_a_slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries are chosen by chance; here the chance is known."""
    system, slow = magus()
    context = system._context
    triplets = batch(context)
    chance = iter((torch.linspace(0, 0.999, 60), torch.linspace(0.999, 0, 60)))
    monkeypatch.setattr(torch, "rand", lambda *size, **_: next(chance))
    found = {name: term.item() for name, term in system.loss(triplets).items()}
    h, matches = system._propagated().detach(), slow.matches()
    histories = context.train.matrix().toarray() > 0
    of_items, wanted_queries, missed_queries = [], [], []
    for number, (user, item, other) in enumerate(zip(*(column.tolist() for column in vars_of(triplets)), strict=True)):
        rest = [each for each in np.flatnonzero(histories[user]) if each != item]
        mean = h[rest].mean(dim=0)
        of_items.append(F.softplus(-mean @ h[item]) + F.softplus(mean @ h[other]))
        asked, missed = np.flatnonzero(matches[:, item]), np.flatnonzero(matches[:, other])
        if len(asked):
            term = asked[min(int(torch.linspace(0, 0.999, 60)[number] * len(asked)), len(asked) - 1)]
            wanted_queries.append(F.softplus(-mean @ h[N_ITEMS + term]))
        if len(missed):
            term = missed[min(int(torch.linspace(0.999, 0, 60)[number] * len(missed)), len(missed) - 1)]
            if not matches[term, item]:
                missed_queries.append(F.softplus(mean @ h[N_ITEMS + term]))
    assert 0 < len(missed_queries) < len(wanted_queries) < 60
    assert found["items"] == pytest.approx(float(torch.stack(of_items).mean()), rel=1e-4)
    expected = torch.stack(wanted_queries).mean() + torch.stack(missed_queries).mean()
    assert found["queries"] == pytest.approx(float(expected), rel=1e-4)


def vars_of(triplets: Triplets) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return triplets.users, triplets.positives, triplets.negatives


def test_queries_are_drawn_evenly_of_those_an_item_matches() -> None:
    system, slow = magus()
    matches = slow.matches()
    item = int(matches.sum(axis=0).argmax())
    terms, has = system._query_of(torch.full((4_000,), item))
    assert has.all()
    counts = np.bincount(terms.numpy(), minlength=len(matches))
    assert ((counts > 0) == matches[:, item]).all()
    size = matches[:, item].sum()
    assert counts.max() < 4_000 / size * 1.5
    _, none = system._query_of(torch.tensor([0]))  # the item without words
    assert not none.any()


def test_a_user_with_one_item_and_items_without_words_do_no_harm() -> None:
    system, _ = magus()
    alone = Triplets(torch.tensor([N_USERS - 1]), torch.tensor([0]), torch.tensor([0]))
    for term in system.loss(alone).values():
        assert torch.isfinite(term)


@pytest.mark.parametrize("options", [{}, {"inhibition": 0.0}, {"n_layers": 1}], ids=str)
def test_gradients_reach_every_parameter(options: dict[str, Any]) -> None:
    system, _ = magus(**options)
    assert (system.strength is None) == (options.get("inhibition") == 0.0)
    torch.stack(list(system.loss(batch(system._context)).values())).sum().backward()
    for name, parameter in system.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_gradients_are_those_of_finite_differences() -> None:
    system, _ = magus()
    triplets, step = batch(system._context, n=10), 1e-2

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.stack(list(system.loss(triplets).values())).sum()

    loss().backward()
    for name, parameter in system.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        direction = gradient / gradient.norm()
        with torch.no_grad():
            parameter.add_(step * direction)
            above = loss()
            parameter.sub_(2 * step * direction)
            below = loss()
            parameter.add_(step * direction)
        assert float((above - below) / (2 * step)) == pytest.approx(float(gradient.norm()), rel=0.05, abs=2e-4), name


def test_learned_weights_are_read_once_they_are_learned() -> None:
    """Propagation is put together once, and again after training."""
    system, _ = magus()
    candidates = everything(3)
    before = play(system.eval(), candidates, wanted_of(candidates), 2)[-1][1].scores
    optimizer = torch.optim.Adam(system.parameters(), lr=0.1)
    system.train()
    torch.stack(list(system.loss(batch(system._context)).values())).sum().backward()
    optimizer.step()
    after = play(system.eval(), candidates, wanted_of(candidates), 2)[-1][1].scores
    assert not torch.allclose(before, after)


def test_training_lowers_the_loss_and_finds_what_users_share() -> None:
    """Users want items of one brand: its query becomes likelier for them than another, and no item is copied."""
    words = [[("brand", "ab"[row % 2])] for row in range(20)]
    lexicon = mined_lexicon(ItemTable(words=Words.of(words)), Supports(1, 1.0))
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(N_USERS), 4)
    items = np.concatenate([2 * rng.choice(10, size=4, replace=False) + user % 2 for user in range(N_USERS)])
    context = context_of(lexicon_of(n_items=20))
    train = type(context.train)(users, items, N_USERS, 20)
    context = type(context)(train, lexicon, context.base, context.ties, context.seeds)
    system = build("magus", context, embedding_dim=8, n_layers=1)
    assert isinstance(system, MAGUS)
    system.train()
    optimizer, losses = torch.optim.Adam(system.parameters(), lr=0.05), []
    for step in range(60):
        optimizer.zero_grad()
        loss = torch.stack(list(system.loss(batch(context, 200, step)).values())).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.65 * losses[0]
    h = system._propagated().detach()
    for user in range(6):
        mean = h[items[4 * user : 4 * user + 4]].mean(dim=0)
        own, other = mean @ h[20 + user % 2], mean @ h[20 + 1 - user % 2]
        assert own > other + 1
