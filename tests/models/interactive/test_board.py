"""Boards against the words themselves, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.models.interactive.base import State
from mmrec_bench.models.interactive.board import Board, Candidates
from tests.models.interactive.worlds import (
    N_ITEMS,
    Slow,
    answers,
    build,
    context_of,
    everything,
    lexicon_of,
    play,
    sampled,
    wanted_of,
)

SYSTEMS = {
    "item-only": {}, "query-only": {}, "random": {}, "core": {}, "core-attributes": {"ask": "attributes"},
    "magus-fixed": {}, "magus-by-relation": {"normalisation": "by-relation"}, "magus-score": {"guess": "score"},
    "magus": {},
}  # fmt: skip


def system_of(label: str, lexicon, **options):
    name = {"core-attributes": "core", "magus-by-relation": "magus-fixed", "magus-score": "magus-fixed"}.get(
        label, label
    )
    return build(name, context_of(lexicon), **SYSTEMS[label], **options)


def state_on(candidates: Candidates, seed: int = 0) -> tuple[State, Slow, Board]:
    lexicon = lexicon_of(seed)
    state = build("item-only", context_of(lexicon)).start(candidates)
    return state, Slow(lexicon), state.board


@pytest.mark.parametrize("candidates", [everything(4), sampled(4), sampled(4, padded=3)], ids=["all", "some", "padded"])
@pytest.mark.parametrize("seed", range(3))
def test_boards_say_what_the_words_say(candidates: Candidates, seed: int) -> None:
    _, slow, board = state_on(candidates, seed)
    values = torch.rand(candidates.open.shape) * candidates.open
    rng, rows = np.random.default_rng(seed), board.item_rows()
    sums, of_slot = board.matching(values), torch.from_numpy(rng.integers(-1, board.n_terms, 4))
    some = (torch.rand(4, board.n_terms) < 0.2) & (board.terms >= 0)
    of_slot = torch.where(
        (of_slot >= 0) & (board.terms.gather(1, of_slot.clamp(min=0)[:, None])[:, 0] < 0), -1, of_slot
    )
    inside, around = board.nested(of_slot)
    having, any_of, against = board.items_of(of_slot), board.items_of_any(some), board.contradicting(of_slot)
    item_slot = torch.tensor([0, 1, -1, 3])
    told = board.terms_of(item_slot)
    for session in range(4):
        items = [slow.nodes[row] if row >= 0 else None for row in rows[session].tolist()]
        terms = [slow.terms[term] if term >= 0 else None for term in board.terms[session].tolist()]
        for place, term in enumerate(terms):
            matched = [item is not None and term is not None and term <= item for item in items]
            expected = float(values[session][torch.tensor(matched)].sum())
            assert sums[session, place] == pytest.approx(expected, abs=1e-5)
            assert bool(board.words[session, place]) == (term is not None and len(term) == 1)
        shown = terms[of_slot[session]] if of_slot[session] >= 0 else None
        for place, term in enumerate(terms):
            real = shown is not None and term is not None
            assert bool(inside[session, place]) == (real and term <= shown)
            assert bool(around[session, place]) == (real and shown <= term)
            its_item = items[item_slot[session]] if item_slot[session] >= 0 else None
            assert bool(told[session, place]) == (its_item is not None and term is not None and term <= its_item)
        asked = [term for term, is_asked in zip(terms, some[session], strict=True) if is_asked]
        for place, item in enumerate(items):
            assert bool(having[session, place]) == (shown is not None and item is not None and shown <= item)
            assert bool(any_of[session, place]) == (item is not None and any(term <= item for term in asked))
            node = None if shown is None else slow.n_items + slow.terms.index(shown)
            clash = node is not None and item is not None and slow.clashes[node, rows[session, place]] > 0
            assert bool(against[session, place]) == clash


def test_a_board_of_candidates_has_their_words_and_the_queries_of_two() -> None:
    _, slow, board = state_on(sampled(6, padded=2))
    for session in range(6):
        items = [slow.nodes[row] for row in board.item_rows()[session].tolist() if row >= 0]
        expected = [
            number
            for number, term in enumerate(slow.terms)
            if sum(term <= item for item in items) >= (1 if len(term) == 1 else 2)
        ]
        assert board.terms[session][board.terms[session] >= 0].tolist() == expected


@pytest.mark.parametrize("candidates", [everything(3), sampled(3, padded=2)], ids=["all", "some"])
def test_among_equals_items_come_first_then_words_then_queries_then_fields(candidates: Candidates) -> None:
    lexicon = lexicon_of()
    context = context_of(lexicon)
    board = build("item-only", context, initialiser="uniform").start(candidates).board
    for session in range(3):
        rows = board.item_rows()[session]
        real = rows >= 0
        ties = board.ties[session]
        of_items = ties[: board.n_items][real]
        assert of_items.argsort().tolist() == np.argsort(context.ties[rows[real].numpy()]).tolist()
        others = torch.cat((ties[board.n_items : -board.n_fields][board.terms[session] >= 0], ties[-board.n_fields :]))
        assert of_items.max() < others.min()
        assert (others.diff() > 0).all()


def whole_tables(n_sessions: int) -> tuple[Candidates, Candidates]:
    """Return the same sessions over the whole catalogue, shared and as candidates of each."""
    shared = everything(n_sessions)
    rows = torch.arange(N_ITEMS).expand(n_sessions, -1).contiguous()
    return shared, Candidates(shared.sessions, shared.users, rows, shared.open)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("label", list(SYSTEMS))
def test_both_boards_hold_the_same_sessions(label: str, slots: int) -> None:
    """Where all items are candidates; every query matches two items here, so that no board leaves one out.

    Sums are taken in another order, so that another slot may be shown where two are worth the same but for rounding.
    """
    n_shown = n_other = 0
    for seed in range(3):
        system, candidates = system_of(label, lexicon_of(seed)), whole_tables(12)
        wanted = wanted_of(candidates[0], seed)
        states = [system.start(each) for each in candidates]
        for _ in range(8):
            assert torch.equal(states[0].open, states[1].open)
            assert torch.equal(states[0].alive, states[1].alive)
            torch.testing.assert_close(states[0].scores, states[1].scores, atol=3e-6, rtol=0)
            shown, other = (system.propose(state, slots) for state in states)
            n_shown, n_other = n_shown + shown.numel(), n_other + int((shown != other).sum())
            values = system.values(states[0])
            for session, slot in (shown != other).nonzero().tolist():
                if torch.equal(shown[session, :slot], other[session, :slot]):
                    one, two = values[session, shown[session, slot]], values[session, other[session, slot]]
                    assert abs(float(one - two)) < 1e-5
            feedback = answers(states[0], shown, wanted)
            states = [system.observe(state, feedback) for state in states]
    assert n_other <= 0.03 * n_shown


def part(candidates: Candidates, rows: torch.Tensor) -> Candidates:
    items = None if candidates.items is None else candidates.items[rows]
    return Candidates(candidates.sessions[rows], candidates.users[rows], items, candidates.open[rows])


@pytest.mark.parametrize("initialiser", ["sigmoid", "uniform"])
@pytest.mark.parametrize("kind", ["all", "some"])
@pytest.mark.parametrize("label", list(SYSTEMS))
def test_neither_block_nor_order_of_sessions_changes_what_is_shown(label: str, kind: str, initialiser: str) -> None:
    """``uniform`` has many ties, which rounding that hangs on the block would break in different ways."""
    system = system_of(label, lexicon_of(1), initialiser=initialiser)
    candidates = everything(14) if kind == "all" else sampled(14, padded=2)
    wanted = wanted_of(candidates)

    def items_and_terms(rows: torch.Tensor) -> dict[int, list[list[int]]]:
        """Return what is shown, by session, as nodes: places of terms hang on the widest session of a block."""
        mine, found = part(candidates, rows), dict[int, list[list[int]]]()
        for shown, state, _ in play(system, mine, wanted[rows], 7, 2):
            board = state.board
            fields = torch.arange(board.n_fields).expand(len(rows), -1) + 20_000
            nodes = torch.cat((board.item_rows(), board.terms + 10_000, fields), dim=1)
            for row, slots in zip(rows.tolist(), shown, strict=True):
                picked = [int(nodes[rows.tolist().index(row), slot]) if slot >= 0 else -1 for slot in slots.tolist()]
                found.setdefault(row, []).append(picked)
        return found

    whole = items_and_terms(torch.arange(14))
    for rows in (torch.tensor([13, 4, 0, 9]), torch.tensor([0]), torch.tensor([5]), torch.arange(13, -1, -1)):
        assert items_and_terms(rows) == {row: whole[row] for row in rows.tolist()}


def test_the_helper_answers_the_truth() -> None:
    state, slow, board = state_on(everything(3))
    wanted = wanted_of(everything(3), n=1)
    first = board.n_items + board.n_terms
    shown = torch.tensor([[0, board.n_items, first], [1, board.n_items + 1, first + 1], [2, board.n_items + 2, -1]])
    found = answers(state, shown, wanted)
    for session in range(3):
        item = slow.nodes[int(wanted[session].nonzero()[0, 0])]
        assert bool(found.clicked[session, 0]) == bool(wanted[session, shown[session, 0]])
        assert bool(found.clicked[session, 1]) == (slow.terms[int(shown[session, 1]) - board.n_items] <= item)


@pytest.mark.parametrize("candidates", [everything(2), sampled(2, padded=3)], ids=["all", "padded"])
def test_every_slot_is_of_one_kind(candidates: Candidates) -> None:
    _, _, board = state_on(candidates)
    n_items, n_terms, width = board.n_items, board.n_terms, board.ties.shape[1]
    slots = torch.arange(-1, width).unsqueeze(1).expand(-1, 2)
    kinds = torch.stack([board.as_items(slots), board.as_terms(slots), board.as_fields(slots)])
    for row, slot in enumerate(range(-1, width)):
        item = slot if 0 <= slot < n_items else -1
        term = slot - n_items if n_items <= slot < n_items + n_terms else -1
        field = slot - n_items - n_terms if slot >= n_items + n_terms else -1
        assert kinds[:, row].tolist() == [[item] * 2, [term] * 2, [field] * 2]
        marked = board.marked(torch.tensor([slot, -1]))
        assert marked[0].nonzero().flatten().tolist() == [slot] * (slot >= 0)
        assert not marked[1].any()
    for field in range(-1, board.n_fields):
        words = board.words_of(torch.tensor([field, field]))
        assert words.tolist() == [[found == field >= 0 for found in row] for row in board.fields.tolist()]


@pytest.mark.parametrize("candidates", [everything(3), sampled(3, padded=3)], ids=["all", "padded"])
def test_best_is_the_first_of_equals(candidates: Candidates) -> None:
    _, _, board = state_on(candidates)
    for n in (board.n_items, board.ties.shape[1]):
        values = torch.randint(3, (3, n), generator=torch.Generator().manual_seed(n)).float()
        values[1] = -torch.inf
        ties = board.ties.tolist()
        for session, found in enumerate(board.best(values).tolist()):
            row = values[session].tolist()
            slow = min(range(n), key=lambda slot: (-row[slot], ties[session][slot]))
            assert found == (-1 if session == 1 else slow)
