"""DLCM: its formula, and that it reads the other rows of a list and their order."""

from __future__ import annotations

import pytest
import torch

from tests.models.ranking.worlds import build, contextual, fit, ndcg, odd_batch, odd_context, shown_at_random


def test_it_reads_the_rest_of_a_list_and_how_it_was_shown() -> None:
    train, test = contextual(2_000), contextual(500, seed=1)
    by_rows = ndcg(fit("mlp", train, 5), test)
    by_lists = ndcg(fit("dlcm", shown_at_random(train), 5, initial_order=False), test)
    by_order = ndcg(fit("dlcm", train, 5), test)
    assert by_lists > by_rows + 0.1
    assert by_order > by_lists + 0.01


def test_scores_are_those_of_the_formula() -> None:
    context = odd_context()
    model, inputs = build("dlcm", context, hidden_dim=6, n_views=3).eval(), odd_batch(context, "labels").inputs
    scores = model.score(inputs)
    with torch.no_grad():
        rows = model.rows(inputs)
        for number, length in enumerate(context.train.lengths().tolist()):
            state, outputs = torch.zeros(1, 1, 6), {}
            for row in reversed(range(length)):
                output, state = model.gru(rows[number, row].view(1, 1, -1), state)
                outputs[row] = output.flatten()
            views = model.context(state.flatten()).tanh().view(3, 6)
            for row, output in outputs.items():
                expected = model.readout(views @ output).item()
                assert scores[number, row].item() == pytest.approx(expected, abs=1e-5)


def test_a_hidden_order_is_random_in_training_and_canonical_at_serving() -> None:
    context = odd_context()
    batch = odd_batch(context, "labels")
    model = build("dlcm", context, initial_order=False, dropout=0.0)
    torch.manual_seed(0)
    one, two = (model.loss(batch)["softmax"].item() for _ in range(2))
    assert one != two
    model.eval()
    assert torch.equal(model.score(batch.inputs), model.score(batch.inputs))


def test_every_setting_counts() -> None:
    context = odd_context()
    batch, found = odd_batch(context, "labels"), []
    for options in ({}, {"n_views": 3}, {"hidden_dim": 32}, {"initial_order": False}, {"dropout": 0.0}):
        model = build("dlcm", context, **options)
        torch.manual_seed(0)
        found.append(model.loss(batch)["softmax"].item())
    assert len(set(found)) == len(found)
