"""The updater against dense matrices, and what must hold whatever the scores are."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Lexicon, Supports, mined_lexicon
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.sessions import InteractiveEvaluator
from mmrec_bench.models.interactive.base import Feedback, InteractiveContext
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.magus import MagusConfig, MagusFixed, MagusFixedConfig
from mmrec_bench.models.interactive.propagation import PropagationState
from tests.evaluation.test_sessions import parts
from tests.models.interactive.worlds import (
    CPU,
    N_ITEMS,
    N_USERS,
    Slow,
    Table,
    build,
    context_of,
    everything,
    lexicon_of,
    normalised,
    play,
    random_base,
    sampled,
    wanted_of,
)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"alpha": 0.9, "n_steps": 3},
    {"normalisation": "by-relation"},
    {"inhibition": 0.0},
    {"trust": 0.5},
    {"sharpness": 0.5},
    {"weighting": "uniform"},
    {"alpha": 0.0},
    {"update": "scores"},
    {"update": "scores", "initialiser": "sigmoid", "alpha": 0.9, "n_steps": 3},
    {"update": "scores", "inhibition": 0.4, "anchor": "first"},
    {"update": "scores", "clip": False},
    {"guess": "score"},
]


def weights_of(lexicon: Lexicon, slow: Slow, weighting: str) -> np.ndarray:
    """Return the weights of improvements, ``[n, n]``, one pair at a time."""
    having = [
        {row for row, item in enumerate(slow.nodes[: slow.n_items]) if words <= item}
        if number >= slow.n_items
        else {number}
        for number, words in enumerate(slow.nodes)
    ]
    n, found = slow.n_items, np.zeros_like(slow.improves)
    for a, b in zip(*slow.improves.nonzero(), strict=True):
        together = len(having[a] & having[b])
        pmi = np.log(together * n / (len(having[a]) * len(having[b]))) if together else -np.inf
        found[a, b] = 1.0 if weighting == "uniform" else max(pmi, 0.0)
    return found


def voted(
    slow: Slow,
    nodes: np.ndarray,
    first: np.ndarray,
    labels: dict[int, float],
    raising: np.ndarray,
    step: np.ndarray,
    config: MagusFixedConfig,
) -> np.ndarray:
    """Return ``r exp(trust e)`` over its maximum, and of terms the mean over the items that have their words."""
    lowering = config.inhibition * slow.clashes[np.ix_(nodes, nodes)]
    yes, no = np.zeros(len(nodes)), np.zeros(len(nodes))
    for node, label in labels.items():
        (yes if label else no)[node] = 1
    direct = raising @ (yes - no) - lowering @ yes
    votes = direct
    for _ in range(config.n_steps if config.alpha else 0):
        unheard = np.array([0.0 if node in labels else vote for node, vote in enumerate(votes)])
        votes = direct + config.alpha * step @ unheard
    items = nodes < slow.n_items
    weighed = np.maximum(first[items], 1e-6) * np.exp(config.trust * (votes[items] - votes[items].max()))
    scores = np.zeros(len(nodes))
    scores[items] = weighed / weighed.max()
    for place in np.flatnonzero(~items):
        having = [slow.nodes[nodes[place]] <= slow.nodes[item] for item in nodes[items]]
        scores[place] = scores[items][having].mean() if any(having) else 0.0
    scores[list(labels)] = list(labels.values())
    return scores


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["all", "some"])
def test_scores_are_those_of_a_dense_reference(kind: str, options: dict[str, Any]) -> None:
    """Answers become labels and spread.

    As scores: ``s <- (1 - alpha) r + alpha S s``, labelled nodes held, cut to [0, 1]; as votes, see `voted`.
    """
    lexicon = lexicon_of(3)
    slow = Slow(lexicon)
    config = MagusFixedConfig.model_validate({"name": "magus-fixed", **options})
    candidates = everything(6) if kind == "all" else sampled(6)
    wanted = wanted_of(candidates, n=2)
    course = play(build("magus-fixed", context_of(lexicon), **options), candidates, wanted, 5, slots=2)
    raising = weights_of(lexicon, slow, config.weighting)
    labelled = 0
    for session in range(6):
        board = course[0][1].board
        nodes = torch.cat((board.item_rows()[session], board.terms[session] + slow.n_items))
        real = (torch.cat((board.item_rows()[session], board.terms[session])) >= 0).numpy()
        inner = np.ix_(nodes[real], nodes[real])
        step = normalised(
            raising[inner], config.inhibition * slow.clashes[inner], config.normalisation == "by-relation"
        )
        words = [slow.nodes[node] for node in nodes[real].tolist()]
        first = course[0][1].scores[session].numpy()[real].astype(np.float64)
        anchor, scores, labels = first, first, dict[int, float]()
        place = {int(slot): number for number, slot in enumerate(np.flatnonzero(real))}
        for shown, state, feedback in course:
            np.testing.assert_allclose(state.scores[session].numpy()[real], scores, atol=3e-6)
            assert isinstance(state, PropagationState)
            known = state.known[session].numpy()[real]
            assert {node: float(state.labels[session].numpy()[real][node]) for node in known.nonzero()[0]} == labels
            for slot, clicked in zip(shown[session].tolist(), feedback.clicked[session].tolist(), strict=True):
                if slot < 0:
                    continue
                labels[place[slot]] = float(clicked)
                if clicked and slot >= board.n_items:
                    inside = [n for n, own in enumerate(words) if len(own) == 1 and own <= words[place[slot]]]
                    labels |= {node: 1.0 for node in inside if nodes[real][node] >= slow.n_items}
                labelled += 1
            held, values = list(labels), list(labels.values())
            if config.update == "votes":
                scores = voted(slow, nodes[real].numpy(), first, labels, raising[inner], step, config)
                continue
            anchor = anchor.copy()
            anchor[held] = values
            scores = anchor
            for _ in range(config.n_steps if config.alpha else 0):
                scores = (1 - config.alpha) * anchor + config.alpha * (step @ scores)
                scores = np.clip(scores, 0, 1) if config.clip else scores
                scores[held] = values
            anchor = scores if config.anchor == "last" else first
    assert labelled > 20


def test_the_counted_weights_are_those_of_a_slow_reference() -> None:
    lexicon = lexicon_of(4)
    slow = Slow(lexicon)
    for weighting in ("pmi", "uniform"):
        system = build("magus-fixed", context_of(lexicon), weighting=weighting)
        assert isinstance(system, MagusFixed)
        improving, strengths = system.weights()
        dense = np.zeros_like(slow.improves)
        entries = system.relations.improving.tocoo()
        dense[entries.row, entries.col] = improving
        np.testing.assert_allclose(dense, weights_of(lexicon, slow, weighting), atol=1e-6)
        assert (strengths == 1).all()


def test_every_switch_changes_scores() -> None:
    lexicon, candidates = lexicon_of(5), everything(5)
    wanted = wanted_of(candidates)
    shown = torch.stack([torch.full((5,), N_ITEMS + 3), torch.arange(5)], dim=1)
    found = []
    for options in OPTIONS[:-1]:
        system = build("magus-fixed", context_of(lexicon), **options)
        state = system.start(candidates)
        for _ in range(2):
            truth = torch.cat((wanted, state.board.matching(wanted.float()) > 0), dim=1)
            clicked = truth.gather(1, shown)
            state = system.observe(state, Feedback(shown, clicked, truth[:, N_ITEMS:] & False))
        found.append(state.scores)
    for number, one in enumerate(found):
        for other in found[:number]:
            assert not torch.allclose(one, other, atol=1e-4)


def test_settings_that_would_do_nothing_are_refused() -> None:
    for key, value in (("n_steps", 3), ("inhibition", 0.5), ("normalisation", "by-relation")):
        with pytest.raises(ValueError, match=f"alpha: 0 takes no step, so {key} would do nothing"):
            MagusFixedConfig.model_validate({"update": "scores", "alpha": 0.0, key: value})
    for config, key, value in (
        (MagusFixedConfig, "weighting", "uniform"), (MagusConfig, "n_layers", 3), (MagusConfig, "embedding_dim", 8),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"alpha: 0 takes no step, so {key} would do nothing"):
            config.model_validate({"update": "scores", "alpha": 0.0, key: value})
        config.model_validate({"alpha": 0.0, key: value})  # votes go one step without
    for update, key, value in (("scores", "trust", 1.0), ("votes", "clip", False), ("votes", "anchor", "first")):
        with pytest.raises(ValueError, match=f"{key}: read with update: .*, not {update}"):
            MagusFixedConfig.model_validate({"update": update, key: value})
    with pytest.raises(ValueError, match="sharpness is read by the initialiser softmax, not uniform"):
        MagusFixedConfig.model_validate({"initialiser": "uniform", "sharpness": 1.0})


# --- what must hold whatever the scores are


def evaluator(**keys: Any) -> InteractiveEvaluator:
    rules = InteractiveProtocol.model_validate({"cutoffs": [3, 8], "select_by": "success@3", **keys})
    return InteractiveEvaluator(rules, *parts(), CPU)


@pytest.mark.parametrize("user", ["noise-free", "noisy", "impatient", "no-click"])
@pytest.mark.parametrize("candidates", [{"name": "sampled", "n": 12}, "full"], ids=["sampled", "full"])
@pytest.mark.parametrize("initialiser", ["sigmoid", "min-max", "softmax", "uniform"])
def test_without_propagation_and_queries_it_is_item_only(initialiser: str, candidates: Any, user: str) -> None:
    context = context_of(lexicon_of())
    held = evaluator(candidates=candidates, user=user)
    one = held.evaluate(build("item-only", context, initialiser=initialiser))
    two = held.evaluate(build("magus-fixed", context, initialiser=initialiser, alpha=0.0, guess="items"))
    three = held.evaluate(build("magus", context, initialiser=initialiser, alpha=0.0, guess="items"))
    for other in (two, three):
        assert one.means == other.means
        for name in ("session", "round", "slot", "kind", "node", "clicked", "rank"):
            np.testing.assert_array_equal(getattr(one.transcript, name), getattr(other.transcript, name))
        np.testing.assert_array_equal(one.courses.ranks, other.courses.ranks)
    propagated = held.evaluate(build("magus-fixed", context, initialiser=initialiser, guess="items"))
    assert propagated.transcript.node.tolist() != one.transcript.node.tolist()


@pytest.mark.parametrize("name", ["magus-fixed", "magus"])
def test_a_base_far_from_normal_keeps_its_order(name: str) -> None:
    """In a large catalogue one item may stand a hundred standard deviations above the others."""
    n_items = 20_000
    lexicon = lexicon_of(n_items=n_items, min_items=300)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(2, n_items, generator=generator).mul(4).exp().round()  # counts, of which most are small
    table[1] = torch.randn(n_items, generator=generator)
    table[1, 7] = 200
    users = torch.arange(2)
    candidates = Candidates(users, users, None, torch.ones(2, n_items).bool())
    context = context_of(lexicon, Table(table))
    item_only = build("item-only", context)
    system = build(name, context, alpha=0.0, guess="items", **({"embedding_dim": 2} if name == "magus" else {}))
    start, other = item_only.start(candidates), system.start(candidates)
    shown = item_only.propose(start, 1)
    silent = Feedback(shown, shown < 0, torch.zeros(2, start.board.n_terms) > 0)
    for one, two in ((start, other), (item_only.observe(start, silent), system.observe(other, silent))):
        for state in (one, two):
            for session in range(2):
                rows = state.open[session, :n_items].nonzero()[:, 0]
                best = rows[table[session][rows].argsort(descending=True, stable=True)]
                keys = list(
                    zip((-state.item_values[session]).tolist(), state.board.ties[session].tolist(), strict=False)
                )
                ranked = sorted(rows.tolist(), key=lambda row: keys[row])
                assert torch.equal(table[session][ranked], table[session][best])
    assert (system.propose(other, 1) == shown).all()


def one_field(seed: int, n_values: int, most: int) -> InteractiveContext:
    """Items with 1 to `most` values of a single field, around random scores."""
    rng = np.random.default_rng(seed)
    words = [
        [
            ("kind", f"k{value}")
            for value in rng.choice(n_values, size=rng.integers(1, min(most, n_values) + 1), replace=False)
        ]
        for _ in range(N_ITEMS)
    ]
    lexicon = mined_lexicon(ItemTable(words=Words.of(words)), Supports(1, 1.0))
    return context_of(lexicon, random_base(seed), world=seed)


def violations(options: dict[str, Any], candidates: Any, worlds: int = 15) -> tuple[int, int]:
    """Return clicked queries and violations in worlds of one field with a value an item."""
    clicked = violated = 0
    for seed in range(worlds):
        system = build("magus-fixed", one_field(seed, n_values=2 + seed % 6, most=1), initialiser="sigmoid", **options)
        found = evaluator(candidates=candidates).evaluate(system)
        clicked, violated = clicked + found.n_clicked_queries, violated + found.n_violations
    return clicked, violated


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.9},
        {"alpha": 0.1},
        {"guess": "queries"},
        {"n_steps": 1},
        {"update": "scores", "anchor": "first"},
        {"update": "scores", "clip": False},
    ],
    ids=str,
)
def test_on_a_single_field_a_clicked_query_never_lowers_its_items_below_conflicting_ones(
    options: dict[str, Any],
) -> None:
    """Where improvements and inhibitions weigh 1, all words have one degree, and all items have one.

    So items of a word differ from those of another by their own scores and both words' alone, and the clicked word has
    the highest score of all.
    """
    for candidates in ({"name": "sampled", "n": 12}, {"name": "sampled", "n": 12, "wanted": 1}, "full"):
        clicked, violated = violations({"weighting": "uniform", **options}, candidates)
        assert clicked > 100
        assert violated == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 0.9, "n_steps": 7}, {"normalisation": "by-relation"}, {"inhibition": 0.3}, {"trust": 8.0}],
    ids=str,
)
def test_nor_do_votes_whatever_relations_weigh(options: dict[str, Any]) -> None:
    """A click votes for its items and against those of other words; these votes do not fade as scores do."""
    for candidates in ({"name": "sampled", "n": 12}, "full"):
        clicked, violated = violations({"weighting": "pmi", "guess": "queries", **options}, candidates)
        assert clicked > 400
        assert violated == 0


def test_with_other_weights_violations_happen_and_are_counted() -> None:
    """A rare word with a high score may lift its items above those of a frequent word that was clicked just now."""
    for options in ({"weighting": "pmi"}, {"weighting": "uniform", "inhibition": 0.3}):
        options = {"update": "scores", "n_steps": 7, **options}
        clicked, violated = violations(options, {"name": "sampled", "n": 12, "wanted": 3})
        assert 0 < violated < 0.1 * clicked


def test_scores_stay_within_bounds_and_labels_hold() -> None:
    for seed in range(5):
        context = context_of(lexicon_of(seed))
        for options in OPTIONS:
            system = build("magus-fixed", context, **options)
            for _, state, _ in play(system, sampled(8, padded=2), wanted_of(sampled(8)), 6, 2):
                assert isinstance(state, PropagationState)
                assert torch.isfinite(state.scores).all()
                if options.get("clip", True):
                    assert ((state.scores >= 0) & (state.scores <= 1)).all()
                assert torch.equal(state.scores[state.known], state.labels[state.known])


def test_the_last_answer_counts_where_answers_contradict_each_other() -> None:
    lexicon = lexicon_of()
    slow, system = Slow(lexicon), build("magus-fixed", context_of(lexicon))
    query = next(number for number, term in enumerate(slow.terms) if len(term) == 2)
    word = next(number for number, term in enumerate(slow.terms) if len(term) == 1 and term < slow.terms[query])
    state = system.start(everything(1))
    for slot, clicked in ((word, False), (query, True)):
        shown = torch.tensor([[N_ITEMS + slot]])
        told = torch.zeros(1, state.board.n_terms, dtype=torch.bool)
        state = system.observe(state, Feedback(shown, torch.tensor([[clicked]]), told))
    assert isinstance(state, PropagationState)
    assert state.labels[0, N_ITEMS + word] == state.scores[0, N_ITEMS + word] == 1


def test_sessions_that_are_over_trouble_nobody() -> None:
    """A session in which nothing is shown any more leaves those beside it as they are."""
    system = build("magus-fixed", context_of(lexicon_of()))
    state = system.start(everything(2))
    silent = torch.tensor([[-1], [N_ITEMS]])
    told = torch.zeros(2, state.board.n_terms, dtype=torch.bool)
    both = system.observe(state, Feedback(silent, torch.tensor([[False], [True]]), told))
    alone = everything(2)
    own = dataclasses.replace(
        alone, sessions=alone.sessions[1:], users=alone.users[1:], open=alone.open[1:]
    )  # fmt: skip
    single = system.observe(system.start(own), Feedback(silent[1:], torch.tensor([[True]]), told[1:]))
    assert torch.equal(both.scores[1:], single.scores)
    assert isinstance(both, PropagationState)
    assert not both.known[0].any()
    assert N_USERS > 2
