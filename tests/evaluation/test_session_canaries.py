"""Systems whose sessions follow from theory: if one of these is off, no number of any system means anything."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Supports, mined_lexicon
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.session_candidates import FullCandidates, SampledCandidates, sessions
from mmrec_bench.evaluation.sessions import InteractiveEvaluation, InteractiveEvaluator
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.interactive.base import InteractiveContext
from mmrec_bench.retrieval.base import Scoring, tie_ranks
from tests.models.interactive.worlds import CPU, Table, build

N_USERS, N_ITEMS, N_KNOWN, N_WANTED = 500, 60, 4, 3
IDS = np.array([f"B{row:03}" for row in range(N_ITEMS)])
NAMES = [name for name in MODELS if MODELS[name].task == "interactive"]


def parts() -> tuple[np.ndarray, np.ndarray]:
    """Known and wanted items of each user; rows of items fall with popularity, as ids often do."""
    rng = np.random.default_rng(0)
    popularity = np.linspace(1.0, 0.05, N_ITEMS) ** 3
    drawn = np.stack([rng.choice(N_ITEMS, 7, replace=False, p=popularity / popularity.sum()) for _ in range(N_USERS)])
    known, wanted = (np.zeros((N_USERS, N_ITEMS), bool) for _ in range(2))
    np.put_along_axis(known, drawn[:, :N_KNOWN], True, axis=1)
    np.put_along_axis(wanted, drawn[:, N_KNOWN:], True, axis=1)
    return known, wanted


@pytest.fixture(autouse=True)
def in_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold all sessions at once: blocks change nothing (`test_sessions`), and small ones take most of the time here."""
    for rule in (SampledCandidates, FullCandidates):
        monkeypatch.setattr(rule, "block", N_USERS)


def measure(
    name: str, base: np.ndarray, *, order: np.ndarray | None = None, tie_seed: int = 0, options: Any = None, **keys: Any
) -> InteractiveEvaluation:
    """Hold sessions around given scores, with the items in another order of rows, if one is given."""
    order = np.arange(N_ITEMS) if order is None else order
    known, wanted = (
        Interactions(*(np.asarray(axis) for axis in table[:, order].nonzero()), N_USERS, N_ITEMS) for table in parts()
    )
    rng = np.random.default_rng(3)
    words = [[("kind", f"k{kind}") for kind in rng.choice(6, size=2, replace=False)] for _ in range(N_ITEMS)]
    lexicon = mined_lexicon(ItemTable(words=Words.of([words[row] for row in order])), Supports(2, 0.8))
    table: Scoring = Table(torch.from_numpy(base[:, order].astype(np.float32)))
    context = InteractiveContext(known, lexicon, table, tie_ranks(IDS[order], tie_seed))
    rules = InteractiveProtocol.model_validate({"cutoffs": [3, 5, 10], **keys})
    return InteractiveEvaluator(rules, known, wanted, CPU).evaluate(build(name, context, **(options or {})))


ORACLE, CONSTANT = parts()[1].astype(float), np.ones((N_USERS, N_ITEMS))
BOTH: list[Any] = [{"name": "sampled", "n": 30}, "full"]


@pytest.mark.parametrize("candidates", BOTH, ids=["sampled", "full"])
@pytest.mark.parametrize(
    ("name", "options"), [("item-only", {}), ("magus-fixed", {"guess": "items"}), ("magus-fixed", {"guess": "score"})]
)
def test_an_oracle_finds_everything_in_the_first_round(name: str, options: dict[str, Any], candidates: Any) -> None:
    found = measure(name, ORACLE, candidates=candidates, options=options)
    for k in (3, 5, 10):
        assert found.means[f"success@{k}"] == 1
        assert found.means[f"turns@{k}"] == 0
        assert found.means[f"mrr@{k}"] == found.means[f"first-rank@{k}"] == 1
    assert (found.courses.found == 0).all()
    assert found.curve["found"] == [0.0] + [1.0] * 10


@pytest.mark.parametrize("candidates", BOTH, ids=["sampled", "full"])
def test_the_opposite_of_an_oracle_shows_what_is_wanted_last(candidates: Any) -> None:
    found = measure("item-only", -ORACLE, candidates=candidates)
    assert found.means["success@10"] == 0
    assert found.means["turns@10"] == 13
    assert (found.courses.ranks[:, 0] == found.courses.n_candidates - N_WANTED + 1).all()


def _miss(shown: int, n: int) -> float:
    """Return the probability that none of some items, drawn without replacement out of n, is wanted."""
    return comb(n - N_WANTED, shown) / comb(n, shown)


def _turns(k: int, n: int) -> float:
    """Return the expected turns: found in round t, else by the last guess, else K + 3."""
    first = [_miss(turn, n) - _miss(turn + 1, n) for turn in range(k + 1)]
    return sum(turn * p for turn, p in enumerate(first)) + (k + 3) * _miss(k + 1, n)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("candidates", BOTH, ids=["sampled", "full"])
def test_a_constant_base_gives_item_only_chance_level_whatever_the_order_of_rows(
    candidates: Any, reverse: bool
) -> None:
    n = 30 if candidates != "full" else N_ITEMS - N_KNOWN
    order = np.arange(N_ITEMS)[::-1] if reverse else None
    seeds = [measure("item-only", CONSTANT, order=order, tie_seed=seed, candidates=candidates) for seed in range(40)]
    for k in (3, 10):
        for metric, expected in ((f"success@{k}", 1 - _miss(k + 1, n)), (f"turns@{k}", _turns(k, n))):
            means = [found.means[metric] for found in seeds]
            error = np.std(means, ddof=1) / np.sqrt(len(means))
            assert abs(np.mean(means) - expected) < 4 * error
            assert error < 0.1 * expected


def test_the_order_of_rows_would_have_rewarded_a_constant_base() -> None:
    """The danger is real here: by row, wanted items come far sooner than by chance, and by reversed row far later."""
    chance = 1 - _miss(4, N_ITEMS - N_KNOWN)
    rows = np.tile(-np.arange(N_ITEMS), (N_USERS, 1))
    assert measure("item-only", rows, candidates="full").means["success@3"] > 2 * chance
    assert measure("item-only", -rows, candidates="full").means["success@3"] < 0.5 * chance


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "magus")])
def test_the_order_of_rows_changes_no_session_over_the_catalogue(name: str) -> None:
    """Ties go by ids, words by their names; ``random`` hashes rows, and learned weights begin by rows."""
    shuffled = np.random.default_rng(1).permutation(N_ITEMS)
    scores = np.random.default_rng(2).random((N_USERS, N_ITEMS))
    for base in (scores, CONSTANT) if name != "magus-fixed" else (scores,):
        one, two = measure(name, base, candidates="full"), measure(name, base, candidates="full", order=shuffled)
        differing = (one.courses.ranks != two.courses.ranks).any(axis=1).mean()
        assert differing <= (0.0 if name == "item-only" else 0.02)  # sums in another order may break near ties
        assert abs(one.means["success@5"] - two.means["success@5"]) < 0.01


def test_more_is_found_where_answers_are_true_than_where_they_are_noise() -> None:
    """What a query tells is worth something: a system that asks loses when answers are drawn by lot."""
    scores = np.random.default_rng(2).random((N_USERS, N_ITEMS))
    true, noise = (
        measure("core", scores, candidates="full", user=user).means["success@10"]
        for user in ("noise-free", {"name": "noisy", "miss": 0.5, "slip": 0.5})
    )
    assert true > noise + 0.1


def test_all_systems_meet_the_same_candidates_and_users() -> None:
    known, wanted = (
        Interactions(*(np.asarray(axis) for axis in table.nonzero()), N_USERS, N_ITEMS) for table in parts()
    )
    held = list(sessions(SampledCandidates(), 1, known, wanted))
    again = list(sessions(SampledCandidates(), 1, known, wanted))
    assert all((one.items == two.items).all() for one, two in zip(held, again, strict=True))  # type: ignore[union-attr]
    seen = [measure(name, CONSTANT, candidates={"name": "sampled", "n": 30}) for name in ("item-only", "core")]
    assert (seen[0].users == seen[1].users).all()
    assert (seen[0].n_wanted == seen[1].n_wanted).all()
    assert (seen[0].courses.ranks[:, 0] == seen[1].courses.ranks[:, 0]).all()
