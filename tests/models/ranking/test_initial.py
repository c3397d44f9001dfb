"""The initial ranker leaves lists as they are."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.models.ranking.worlds import LENGTH, build, chance, fit, ndcg, ndcg_of, odd_batch, odd_context, severe


def test_lists_stay_as_they_are_shown() -> None:
    context = odd_context()
    model, inputs = build("initial", context), odd_batch(context, "labels").inputs
    model.fit(context)
    found = model.arrange(inputs)
    assert found.order.tolist() == [
        [*range(length), *[-1] * (6 - length)] for length in context.train.lengths().tolist()
    ]
    assert found.scores[0].tolist() == [4, 3, 2, 1, -np.inf, -np.inf]


def test_it_is_as_good_as_who_has_shown_the_lists() -> None:
    _, test = severe()  # shown in random order
    shown = ndcg(fit("initial", test, 1), test)
    assert shown == ndcg_of(np.tile(np.arange(LENGTH), (test.n_lists, 1)), test)
    assert abs(shown - chance(test)) < 0.03
    assert test.labels is not None
    best = dataclasses.replace(test, labels=-np.sort(-test.labels.reshape(-1, LENGTH), axis=1).reshape(-1))
    assert ndcg(fit("initial", best, 1), best) == 1.0
