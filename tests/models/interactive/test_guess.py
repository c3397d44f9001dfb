"""What is worth showing, against the formulas written out one slot at a time, and how slots are filled."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from mmrec_bench.data.lexicon import Lexicon
from mmrec_bench.models.interactive.base import InteractiveSystem, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.guess import entropies, gains, items_alone, queries_alone, scores
from tests.models.interactive.worlds import (
    N_ITEMS,
    Slow,
    Table,
    answers,
    build,
    context_of,
    everything,
    lexicon_of,
    sampled,
    wanted_of,
)


def states(seed: int = 0, rounds: int = 3) -> list[tuple[State, Slow]]:
    """Return states of both boards after a few rounds, in which items and terms are ruled out."""
    found = []
    lexicon = lexicon_of(seed)
    for candidates in (everything(4), sampled(4, padded=2)):
        system = build("core", context_of(lexicon))
        state, wanted = system.start(candidates), wanted_of(candidates, seed)
        for _ in range(rounds):
            state = system.observe(state, answers(state, system.propose(state, 1), wanted))
        found.append((state, Slow(lexicon)))
    return found


def members(state: State, slow: Slow, session: int, place: int) -> list[int]:
    """Return the slots of the items that have all words of a term."""
    term, rows = int(state.board.terms[session, place]), state.board.item_rows()[session].tolist()
    return [slot for slot, row in enumerate(rows) if term >= 0 and row >= 0 and slow.terms[term] <= slow.nodes[row]]


@pytest.mark.parametrize("seed", range(3))
def test_gains_are_those_of_the_formulas(seed: int) -> None:
    for state, slow in states(seed):
        board, found = state.board, gains(state)
        assert not state.alive.all()
        for session in range(4):
            left = (state.open[session, : board.n_items] & state.alive[session]).tolist()
            s = [float(state.scores[session, slot]) if is_left else 0.0 for slot, is_left in enumerate(left)]
            total = sum(s)
            of_fields = [0.0] * board.n_fields
            for slot, value in enumerate(s):
                p = value / total if total else 0.0
                expected = (1 - p) * value + p * total
                assert found[session, slot] == pytest.approx(expected, abs=1e-5)
            for place in range(board.n_terms):
                share = sum(s[slot] for slot in members(state, slow, session, place))
                p = share / total if total else 0.0
                expected = p * (total - share) + (1 - p) * share
                assert found[session, board.n_items + place] == pytest.approx(expected, abs=1e-5)
                if (field := int(board.fields[session, place])) >= 0:
                    of_fields[field] += expected
            for field, expected in enumerate(of_fields):
                assert found[session, board.n_items + board.n_terms + field] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_entropies_are_those_of_the_formula(seed: int) -> None:
    for state, slow in states(seed):
        board, found = state.board, entropies(state)
        for session in range(4):
            left = (state.open[session, : board.n_items] & state.alive[session]).tolist()
            for place in range(board.n_terms):
                inside = sum(left[slot] for slot in members(state, slow, session, place))
                shares = [part / sum(left) for part in (inside, sum(left) - inside) if 0 < part < sum(left)]
                bits = -sum(share * math.log2(share) for share in shares)
                value = float(found[session, board.n_items + place])
                assert value == (pytest.approx(bits + 2, abs=1e-5) if bits else -math.inf)


def test_items_alone_and_scores_rank_items_as_item_values_do() -> None:
    for state, _ in states():
        board, n_items = state.board, state.board.n_items
        for values in (items_alone(state), scores(state), queries_alone(state), entropies(state)):
            assert torch.equal(values[:, :n_items], state.item_values)
            assert (values[:, n_items + board.n_terms :] == -torch.inf).all()
        assert (items_alone(state)[:, n_items : n_items + board.n_terms] == -torch.inf).all()
        assert torch.equal(scores(state)[:, n_items : n_items + board.n_terms], state.scores[:, n_items:])


def test_queries_alone_puts_every_query_that_tells_something_before_any_item() -> None:
    for state, _ in states(rounds=0):
        n_items, n_terms = state.board.n_items, state.board.n_terms
        found, worth = queries_alone(state)[:, n_items : n_items + n_terms], gains(state)[:, n_items:][:, :n_terms]
        tells = worth > 1e-9
        assert tells.any()
        torch.testing.assert_close(found[tells], worth[tells] + 2)
        assert (found[~tells] == -torch.inf).all()
        assert found[tells].min() > state.item_values.max()


# --- how slots are filled


class Fixed(InteractiveSystem):
    """Proposes by given values."""

    def __init__(self, lexicon: Lexicon, values: torch.Tensor) -> None:
        super().__init__(build("item-only", context_of(lexicon)).config, context_of(lexicon))
        self._values = values

    def values(self, state: State) -> torch.Tensor:
        return self._values

    def update(self, state: State, feedback: object) -> State:
        return state


def slow_slots(state: State, slow: Slow, values: torch.Tensor, session: int, n: int) -> list[int]:
    """Return the slots to show, chosen one after the other."""
    board = state.board
    rows, terms = board.item_rows()[session].tolist(), board.terms[session].tolist()

    def words(slot: int) -> frozenset[tuple[str, str]] | None:
        if slot < board.n_items:
            return slow.nodes[rows[slot]]
        return slow.terms[terms[slot - board.n_items]] if slot < board.n_items + board.n_terms else None

    free = [slot for slot in range(values.shape[1]) if state.open[session, slot] and values[session, slot] > -math.inf]
    chosen: list[int] = []
    while len(chosen) < n:
        if not free:
            return [*chosen, *[-1] * (n - len(chosen))]
        best = min(free, key=lambda slot: (-float(values[session, slot]), int(board.ties[session, slot])))
        chosen.append(best)

        def told(slot: int, best: int = best) -> bool:
            """Whether a slot says the same as the best."""
            of_field = [
                board.n_items + board.n_terms + int(board.fields[session, each - board.n_items])
                for each in (slot, best)
                if board.n_items <= each < board.n_items + board.n_terms
                and board.fields[session, each - board.n_items] >= 0
            ]
            if slot == best or (best in of_field and best >= board.n_items + board.n_terms):
                return True
            mine, its = words(slot), words(best)
            if mine is None or its is None or (slot < board.n_items and best < board.n_items):
                return False
            if slot < board.n_items or best < board.n_items:
                item, term = (mine, its) if slot < board.n_items else (its, mine)
                return term <= item
            return mine <= its or its <= mine

        free = [slot for slot in free if not told(slot)]
    return chosen


@pytest.mark.parametrize("levels", [3, 10_000])
@pytest.mark.parametrize("candidates", [everything(4), sampled(4, padded=2)], ids=["all", "some"])
def test_slots_are_filled_greedily_and_never_say_the_same(candidates: Candidates, levels: int) -> None:
    """With few levels there are many ties."""
    for seed in range(6):
        lexicon = lexicon_of(seed)
        start = Fixed(lexicon, torch.zeros(1)).start(candidates)
        generator = torch.Generator().manual_seed(seed)
        values = torch.randint(levels, start.board.ties.shape, generator=generator).float()
        values[values == 1] = -torch.inf
        is_open = torch.cat((start.open[:, : -start.board.n_fields], torch.ones(4, start.board.n_fields).bool()), dim=1)
        is_open &= torch.rand(values.shape, generator=generator) < 0.8
        state, slow = dataclasses.replace(start, open=is_open), Slow(lexicon)
        found = Fixed(lexicon, values).propose(state, 7)
        for session in range(4):
            assert found[session].tolist() == slow_slots(state, slow, values, session, 7)


def test_where_nothing_is_left_nothing_is_shown() -> None:
    lexicon = lexicon_of()
    start = Fixed(lexicon, torch.zeros(1)).start(everything(3))
    is_open = torch.zeros_like(start.open)
    is_open[1, [2, 5]] = True
    is_open[2, 3] = True
    values = torch.ones(is_open.shape)
    values[2, 3] = -torch.inf
    found = Fixed(lexicon, values).propose(dataclasses.replace(start, open=is_open), 3)
    assert (found[0] == -1).all()
    assert sorted(found[1, :2].tolist()) == [2, 5]
    assert found[1, 2] == -1
    assert (found[2] == -1).all()


def test_equal_items_are_shown_in_canonical_order() -> None:
    context = context_of(lexicon_of(), Table(torch.zeros(40, N_ITEMS)))
    system = build("item-only", context)
    shown = system.propose(system.start(everything(1)), N_ITEMS)
    assert shown[0].tolist() == context.ties.argsort().tolist()


def test_an_item_comes_before_a_query_of_the_same_value() -> None:
    lexicon = lexicon_of()
    start = Fixed(lexicon, torch.zeros(1)).start(everything(2))
    system = Fixed(lexicon, torch.ones(start.open.shape))
    first, second = (int(context_of(lexicon).base.scores(torch.tensor([user])).argmax()) for user in range(2))  # type: ignore[union-attr]
    assert system.propose(start, 1).tolist() == [[first], [second]], "among items, the base decides"
    no_items = start.open.clone()
    no_items[:, :N_ITEMS] = False
    assert system.propose(dataclasses.replace(start, open=no_items), 1).tolist() == [[N_ITEMS]] * 2
