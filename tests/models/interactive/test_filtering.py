"""Systems that take answers at their word, and those that ask nothing or anything."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from scipy.stats import chi2

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Supports, mined_lexicon
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.interactive.base import Feedback, InteractiveSystem, State, relevance_of
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.guess import entropies
from tests.models.interactive.worlds import (
    N_ITEMS,
    N_USERS,
    Slow,
    Table,
    build,
    context_of,
    everything,
    lexicon_of,
    play,
    random_base,
    sampled,
    wanted_of,
)


def say(system: InteractiveSystem, state: State, slot: int, clicked: bool) -> State:
    """Return the state of all sessions after one answer about one slot."""
    shown = torch.full((len(state.open), 1), slot)
    named = torch.zeros(len(shown), state.board.n_terms, dtype=torch.bool)
    return system.observe(state, Feedback(shown, torch.full_like(shown, clicked).bool(), named))


@pytest.mark.parametrize("on_no", ["drop", "keep"])
@pytest.mark.parametrize("candidates", [everything(12), sampled(12, padded=2)], ids=["all", "some"])
@pytest.mark.parametrize("seed", range(3))
def test_core_keeps_what_agrees_with_every_answer(candidates: Candidates, seed: int, on_no: str) -> None:
    lexicon = lexicon_of(seed)
    slow, wanted = Slow(lexicon), wanted_of(candidates, seed, n=1)
    system = build("core", context_of(lexicon), on_no=on_no, initialiser="sigmoid")
    course, ruled_out = play(system, candidates, wanted, 6), 0
    for session in range(12):
        told: list[tuple[frozenset[tuple[str, str]], bool]] = []
        seen: set[int] = set()
        for shown, state, feedback in course:
            board = state.board
            rows = board.item_rows()[session].tolist()
            for slot, row in enumerate(rows):
                agrees = row >= 0 and all(
                    (term <= slow.nodes[row]) == yes for term, yes in told if yes or on_no == "drop"
                )
                assert bool(state.alive[session, slot]) == agrees
                ruled_out += row >= 0 and not agrees
                assert bool(state.open[session, slot]) == (row >= 0 and slot not in seen)
            slot = int(shown[session, 0])
            if slot < board.n_items:
                seen.add(slot)
                if bool(wanted[session, slot]):
                    break  # the session is over
            else:
                term = slow.terms[int(board.terms[session, slot - board.n_items])]
                told.append((term, bool(feedback.clicked[session, 0])))
    assert ruled_out


@pytest.mark.parametrize("name", ["core", "item-only", "query-only", "random", "magus-fixed"])
def test_a_slot_in_which_nothing_is_shown_answers_nothing(name: str) -> None:
    system = build(name, context_of(lexicon_of()))
    state = system.start(everything(2))
    told = torch.zeros(2, state.board.n_terms, dtype=torch.bool)
    shown = torch.tensor([[3, -1], [-1, -1]])
    after = system.observe(state, Feedback(shown, torch.zeros(2, 2, dtype=torch.bool), told))
    closed = (state.open & ~after.open).nonzero().tolist()
    assert closed == [[0, 3]]
    assert torch.equal(after.alive, state.alive)


def test_contradictory_answers_bring_back_all_that_was_not_shown() -> None:
    words = [[("brand", "a")]] * 3 + [[("brand", "b")]] * 3
    lexicon = mined_lexicon(ItemTable(words=Words.of(words)), Supports(1, 1.0))
    base = Table(torch.arange(6.0).expand(N_USERS, 6))
    context = dataclasses.replace(context_of(lexicon_of()), lexicon=lexicon, base=base, ties=torch.arange(6).numpy())
    system = build("core", context)
    state = say(system, system.start(everything(2, 6)), 5, clicked=False)  # an item
    state = say(system, state, 6, clicked=True)  # brand: a
    assert state.alive.tolist() == [[True, True, True, False, False, False]] * 2
    state = say(system, state, 7, clicked=True)  # and brand: b
    assert state.alive.tolist() == [[True] * 5 + [False]] * 2
    assert system.propose(state, 1).tolist() == [[4]] * 2
    both = say(system, say(system, system.start(everything(1, 6)), 6, clicked=False), 7, clicked=False)
    assert both.alive.all()


def test_a_query_is_not_asked_again_nor_what_its_answer_implies() -> None:
    for seed in range(3):
        lexicon = lexicon_of(seed)
        slow, system = Slow(lexicon), build("core", context_of(lexicon))
        start = system.start(everything(1))
        query = next(number for number, term in enumerate(slow.terms) if len(term) == 2)
        for slot, clicked in ((query, True), (query, False), (0, True), (0, False)):
            after = say(system, start, N_ITEMS + slot, clicked)
            for number, term in enumerate(slow.terms):
                implied = term <= slow.terms[slot] if clicked else slow.terms[slot] <= term
                assert bool(after.open[0, N_ITEMS + number]) == (bool(start.open[0, N_ITEMS + number]) and not implied)
            assert torch.equal(after.open[:, :N_ITEMS], start.open[:, :N_ITEMS])


def test_core_may_ask_for_attributes_as_released() -> None:
    lexicon = lexicon_of(2, titles=False)
    slow, system = Slow(lexicon), build("core", context_of(lexicon), ask="attributes", initialiser="uniform")
    candidates = everything(8)
    wanted = wanted_of(candidates, n=3)
    asked = 0
    for shown, state, feedback in play(system, candidates, wanted, 4):
        board = state.board
        first = board.n_items + board.n_terms
        assert not state.open[:, board.n_items : first].any(), "words are not asked for one by one"
        after = system.observe(state, feedback)
        for session, slot in enumerate(shown[:, 0].tolist()):
            if slot < first:
                continue
            asked += 1
            name = lexicon.fields[slot - first]
            wants = [slow.nodes[row] for row in wanted[session].nonzero()[:, 0].tolist()]
            named = {word for item in wants for word in item if word[0] == name}
            for item in range(N_ITEMS):
                kept = not named or bool(named & slow.nodes[item])
                assert bool(after.alive[session, item]) == (bool(state.alive[session, item]) and kept)
            assert not after.open[session, slot]
    assert asked >= 8


def test_query_only_asks_the_most_even_split_and_shows_items_last() -> None:
    lexicon = lexicon_of(1)
    system, candidates = build("query-only", context_of(lexicon)), everything(10)
    wanted = wanted_of(candidates, n=1)
    n_asked = n_shown = 0
    for shown, state, _ in play(system, candidates, wanted, 9):
        board = state.board
        left = state.open[:, : board.n_items] & state.alive
        sizes = board.matching(left.float())
        total = left.sum(dim=1, keepdim=True)
        uneven = (sizes - total / 2).abs().masked_fill(~state.open[:, board.n_items : -board.n_fields], torch.inf)
        uneven = uneven.masked_fill((sizes == 0) | (sizes == total), torch.inf)
        for session, slot in enumerate(shown[:, 0].tolist()):
            if slot >= board.n_items:
                n_asked += 1
                assert uneven[session, slot - board.n_items] == uneven[session].min()
            elif slot >= 0:
                n_shown += 1
                assert uneven[session].min() == torch.inf
                assert bool(left[session, slot]) or not left[session].any()
    assert n_asked > 20
    assert n_shown > 5


def test_item_only_shows_items_by_falling_score() -> None:
    base = random_base()
    system = build("item-only", context_of(lexicon_of(), base))
    candidates = everything(6)
    course = play(system, candidates, wanted_of(candidates), N_ITEMS)
    order = torch.cat([shown for shown, _, _ in course[:-1]], dim=1)
    assert torch.equal(order, base.table[:6].argsort(dim=1, descending=True))
    assert (course[-1][0] == -1).all()


def test_random_shows_anything_alike_and_ranks_by_chance() -> None:
    lexicon = lexicon_of()
    n = 8_000
    users = torch.arange(n) % N_USERS
    candidates = Candidates(torch.arange(n), users, None, torch.ones(n, N_ITEMS).bool())
    system = build("random", context_of(lexicon))
    state = system.start(candidates)
    is_open = int(state.open[0].sum())
    first = system.propose(state, 1)[:, 0]
    assert state.open[0, first].all()
    counts = torch.bincount(first, minlength=state.open.shape[1])[state.open[0]]
    expected = n / is_open
    assert float(((counts - expected) ** 2 / expected).sum()) < chi2.ppf(1 - 1e-4, is_open - 1)
    best = torch.bincount(state.item_values.argmax(dim=1), minlength=N_ITEMS)
    assert float(((best - n / N_ITEMS) ** 2 / (n / N_ITEMS)).sum()) < chi2.ppf(1 - 1e-4, N_ITEMS - 1)
    after = say(system, state, N_ITEMS, clicked=True)
    assert after.alive.all(), "it learns nothing"
    other = build("random", context_of(lexicon, seed=1))
    assert (other.propose(other.start(candidates), 1)[:, 0] != first).any()


def test_random_is_the_one_closed_form_that_seeds_move() -> None:
    assert [name for name in MODELS if MODELS[name].closed_form and not MODELS[name].deterministic] == ["random"]


@pytest.mark.parametrize("initialiser", ["sigmoid", "min-max", "softmax", "uniform"])
def test_relevance_keeps_the_order_of_open_candidates(initialiser: str) -> None:
    scores = torch.randn(20, 12) * 1e4 + 1e6  # such as counts
    is_open = torch.rand(20, 12) < 0.7
    is_open[3], is_open[4] = False, torch.arange(12) == 2
    scores[5] = 7.0
    found = relevance_of(scores, is_open, initialiser)  # type: ignore[arg-type]
    assert ((found >= 0) & (found <= 1)).all()
    assert not found[~is_open].any()
    changed = relevance_of(torch.where(is_open, scores, 9e9), is_open, initialiser)  # type: ignore[arg-type]
    assert torch.equal(found, changed), "what is not open has no say"
    if initialiser == "uniform":
        assert torch.equal(found, is_open.float())
        return
    for session in range(20):
        mine, values = found[session][is_open[session]], scores[session][is_open[session]]
        if len(mine):
            assert mine.max() == 1
            assert torch.equal(mine.argsort(stable=True), values.argsort(stable=True)) or len(values.unique()) == 1
        if initialiser != "softmax" and len(values.unique()) > 1:
            assert mine.min() == 0
    assert (found[5][is_open[5]] == 1).all()


def test_relevance_of_a_sigmoid_is_worked_out_slowly() -> None:
    scores, is_open = torch.tensor([[1.0, 2.0, 4.0, 99.0]]), torch.tensor([[True, True, True, False]])
    mean = 7 / 3
    deviation = (sum((value - mean) ** 2 for value in (1, 2, 4)) / 3) ** 0.5
    squashed = [1 / (1 + 2.718281828459045 ** (-(value - mean) / deviation)) for value in (1, 2, 4)]
    low, high = min(squashed), max(squashed)
    expected = [(value - low) / (high - low) for value in squashed]
    assert relevance_of(scores, is_open, "sigmoid")[0].tolist() == pytest.approx([*expected, 0], abs=1e-6)
    assert relevance_of(scores, is_open, "min-max")[0].tolist() == pytest.approx([0, 1 / 3, 1, 0])
    softmax = [2.718281828459045 ** ((value - 4) / deviation) for value in (1, 2, 4)]
    assert relevance_of(scores, is_open, "softmax")[0].tolist() == pytest.approx([*softmax, 0], abs=1e-6)


def test_terms_begin_with_the_mean_of_what_they_match() -> None:
    lexicon = lexicon_of()
    state, slow = build("core", context_of(lexicon)).start(everything(3)), Slow(lexicon)
    for number, term in enumerate(slow.terms):
        having = torch.tensor([term <= item for item in slow.nodes[:N_ITEMS]])
        expected = state.initial[:, having].mean(dim=1)
        torch.testing.assert_close(state.scores[:, N_ITEMS + number], expected)
    assert torch.isfinite(entropies(state)[:, :N_ITEMS]).all()
