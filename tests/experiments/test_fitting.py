"""Rankers from Python, with arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import ConfigError, DataError, ProtocolError
from mmrec_bench.experiments.fitting import fit


def lists_of(n_lists: int, seed: int, length: int = 6) -> Lists:
    """Return lists whose labels follow the first of three values."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_lists * length, 3)).astype(np.float32)
    return Lists(
        list_of=np.repeat(np.arange(n_lists), length),
        items=np.tile(np.arange(length), n_lists),
        n_items=length,
        users=np.arange(n_lists),
        n_users=n_lists,
        features=features,
        labels=np.clip(np.round(features[:, 0] + 1), 0, 3).astype(np.int64),
    )


TRAINER = {"batch_size": 64, "max_epochs": 20, "patience": 5, "learning_rate": 0.01}


@pytest.mark.parametrize("model", ["lambdamart", {"name": "mlp", "loss": "softmax"}, {"name": "starank"}])
def test_what_is_fitted_orders_rows_it_has_not_seen(model: str | dict[str, str]) -> None:
    ranker = fit(model, lists_of(200, 0), lists_of(50, 1), trainer=TRAINER)
    unseen = lists_of(50, 2)
    assert ranker.evaluate(unseen).means["ndcg@5"] > 0.95
    places = ranker.predict(unseen)
    assert (np.sort(places.reshape(50, 6), axis=1) == np.arange(1, 7)).all()
    assert unseen.labels is not None
    of_best = unseen.labels[places == 1]
    assert (of_best == unseen.labels.reshape(50, 6).max(axis=1)).mean() > 0.9


def test_places_hang_on_the_list_alone_and_two_fits_are_equal() -> None:
    train, valid, unseen = lists_of(100, 0), lists_of(30, 1), lists_of(30, 2)
    one, two = (fit("mlp", train, valid, trainer=TRAINER) for _ in range(2))
    assert one.predict(unseen).tolist() == two.predict(unseen).tolist()
    few = unseen.select(np.arange(7))
    assert one.predict(few).tolist() == one.predict(unseen)[: len(few)].tolist()
    blind = Lists(few.list_of, few.items, few.n_items, few.users, few.n_users, features=few.features)
    assert one.predict(blind).tolist() == one.predict(few).tolist(), "labels are not looked at"


def test_what_is_wrong_is_said() -> None:
    train, valid = lists_of(20, 0), lists_of(10, 1)
    with pytest.raises(ConfigError, match=r"n_layer.*did you mean"):
        fit({"name": "starank", "n_layer": 2}, train, valid)
    with pytest.raises(ConfigError, match="solves the task 'retrieval'"):
        fit("mf", train, valid)
    with pytest.raises(ConfigError, match="metric"):
        fit("mlp", train, valid, select_by="nDCG@10")
    with pytest.raises(DataError, match="clicks"):
        fit({"name": "mlp", "learns_from": "clicks"}, train, valid)
    ranker = fit("lambdamart", train, valid)
    blind = Lists(valid.list_of, valid.items, valid.n_items, valid.users, valid.n_users, features=valid.features)
    with pytest.raises(ProtocolError, match="labels"):
        ranker.evaluate(blind)


def test_lists_that_are_not_described_as_those_of_train_are_refused() -> None:
    train, valid = lists_of(20, 0), lists_of(10, 1)
    histories = Histories(np.zeros(21, np.int64), np.empty(0, np.int64))
    other = {
        "of 7 items, and train of 6": replace(valid, n_items=7),
        "described by 0 values a row, and those of train by 3": replace(valid, features=None),
        "described by 2 values a row": replace(valid, features=valid.features[:, :2]),  # type: ignore[index]
    }
    ranker = fit("mlp", train, valid, trainer=TRAINER)
    for message, lists in other.items():
        for model in ("mlp", "lambdamart"):
            with pytest.raises(DataError, match=f"valid: lists are {message}"):
                fit(model, train, lists)
        for use in (ranker.predict, ranker.evaluate):
            with pytest.raises(DataError, match=f"the lists: lists are {message}"):
                use(lists)
    with pytest.raises(DataError, match="of 30 users, and train of 20, which are read; set user_ids: false"):
        fit({"name": "mlp", "user_ids": True}, train, lists_of(30, 1))
    with pytest.raises(DataError, match="without histories, and those of train have some"):
        fit("starank", replace(train, histories=histories), valid)


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/ranking.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.8
