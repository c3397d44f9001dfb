"""Small worlds of words, what the definitions say of them in plain Python, and systems around given scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Lexicon, Supports, mined_lexicon
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.interactive.base import Feedback, InteractiveContext, InteractiveSystem, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import BoolArray, DoubleArray

CPU = torch.device("cpu")
N_USERS, N_ITEMS = 40, 24


def item_table(seed: int = 0, n_items: int = N_ITEMS) -> ItemTable:
    """Items with at most one brand, up to three kinds, and words in titles; the first has none of all."""
    rng = np.random.default_rng(seed)
    words: list[list[tuple[str, str]]] = [[]]
    titles = [""]
    for _ in range(1, n_items):
        brands = [("brand", f"b{rng.integers(5)}")] if rng.random() < 0.8 else []
        kinds = rng.choice(6, size=rng.integers(0, 4), replace=False)
        words.append([*brands, *(("kind", f"k{kind}") for kind in kinds)])
        titles.append(" ".join(rng.choice(["red", "green", "large", "rare"], size=rng.integers(0, 3), replace=False)))
    return ItemTable(titles=np.array(titles), words=Words.of(words))


def lexicon_of(seed: int = 0, n_items: int = N_ITEMS, *, titles: bool = True, min_items: int = 2) -> Lexicon:
    """Return the mined words and pairs of `item_table`."""
    supports = Supports(min_items=min_items, max_share=0.7, title_min_items=min_items if titles else None)
    return mined_lexicon(item_table(seed, n_items), supports)


class Slow:
    """What the definitions say of all pairs of nodes, one pair at a time.

    Attributes:
        nodes: Words of items, single words, compound queries.
        improves: ``[n, n]``.
        clashes: In how many closed fields two nodes have values but none in common; 0 among items.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        n_items = lexicon.items.n_items
        queries = [frozenset(lexicon.queries.of_item(row)) for row in range(lexicon.queries.n_items)]
        items = [frozenset(lexicon.items.of_item(row)) for row in range(n_items)]
        self.n_items = n_items
        self.nodes = [*items, *(frozenset({word}) for word in lexicon.vocabulary), *queries]
        self.terms = self.nodes[n_items:]
        n = len(self.nodes)
        fields = [
            {name for name, has in zip(lexicon.fields, lexicon.specified[row], strict=True) if has}
            if row < n_items
            else {field for field, _ in self.nodes[row]} & set(lexicon.fields)
            for row in range(n)
        ]
        self.improves, self.clashes = np.zeros((n, n)), np.zeros((n, n))
        for a in range(n):
            for b in range(n):
                if a == b or (a < n_items and b < n_items):
                    continue
                both = self.nodes[a] & self.nodes[b]
                common = {field for field, _ in both}
                self.clashes[a, b] = len((fields[a] & fields[b]) - common)
                nested = bool(both) and (self.nodes[a] <= self.nodes[b] or self.nodes[b] <= self.nodes[a])
                joined = bool(both) and min(a, b) >= n_items
                self.improves[a, b] = not self.clashes[a, b] and (nested or joined)

    def matches(self) -> BoolArray:
        """Return which items have all words of a term, ``[n_terms, n_items]``."""
        return np.array([[term <= item for item in self.nodes[: self.n_items]] for term in self.terms])

    def inside(self) -> BoolArray:
        """Return which terms lie inside which, ``[n_terms, n_terms]``."""
        return np.array([[one <= other for other in self.terms] for one in self.terms])


def normalised(raising: DoubleArray, lowering: DoubleArray, by_relation: bool) -> DoubleArray:
    """Return the matrix of one step of propagation, from its definition."""
    up, down = raising.sum(axis=1), lowering.sum(axis=1)
    if not by_relation:
        up = down = up + down

    def scaled(matrix: DoubleArray, degree: DoubleArray) -> DoubleArray:
        root = np.array([0.0 if value == 0 else value**-0.5 for value in degree])
        return root[:, None] * matrix * root[None, :]

    alone = (raising.sum(axis=1) == 0) & (lowering.sum(axis=1) == 0)
    return scaled(raising, up) - scaled(lowering, down) + np.diag(alone.astype(float))


class Table:
    """A base with given scores ``[n_users, n_items]``."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.table = scores
        self.n_users, self.n_items = scores.shape

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.table[users]


def random_base(seed: int = 0, n_items: int = N_ITEMS) -> Table:
    return Table(torch.randn(N_USERS, n_items, generator=torch.Generator().manual_seed(seed)))


def context_of(lexicon: Lexicon, base: Any = None, *, seed: int = 0, world: int = 0) -> InteractiveContext:
    """Return a context with histories of 3 to 6 items of each user but the last, who has none."""
    rng, n_items = np.random.default_rng(world), lexicon.items.n_items
    items = [rng.choice(n_items, size=rng.integers(3, 7), replace=False) for _ in range(N_USERS - 1)]
    users = np.repeat(np.arange(N_USERS - 1), [len(row) for row in items])
    train = Interactions(users, np.concatenate(items).astype(np.int64), N_USERS, n_items)
    ties = rng.permutation(n_items).astype(np.int64)
    base = random_base(world, n_items) if base is None else base
    return InteractiveContext(train, lexicon, base, ties, Seeds(seed), 64)


def build(name: str, context: InteractiveContext, **options: Any) -> InteractiveSystem:
    """Return a system in evaluation mode, fitted where there is nothing to train."""
    entry = MODELS[name]
    context.seeds.seed_global("init")
    system = entry.build(entry.config.model_validate({"name": name, **options}), context)
    assert isinstance(system, InteractiveSystem)
    return system.eval()


def everything(n_sessions: int = 10, n_items: int = N_ITEMS) -> Candidates:
    """Sessions over the whole catalogue, in which all items are open."""
    users = torch.arange(n_sessions)
    return Candidates(users, users, None, torch.ones(n_sessions, n_items, dtype=torch.bool))


def sampled(n_sessions: int = 10, n: int = 9, n_items: int = N_ITEMS, seed: int = 0, padded: int = 0) -> Candidates:
    """Sessions with n candidates each; the first has fewer, so that its row is padded."""
    rng = np.random.default_rng(seed)
    items = np.sort(np.stack([rng.permutation(n_items)[:n] for _ in range(n_sessions)]), axis=1)
    if padded:
        items[0, n - padded :] = -1
    table, users = torch.from_numpy(items), torch.arange(n_sessions)
    return Candidates(users, users, table, table >= 0)


def wanted_of(candidates: Candidates, seed: int = 0, n: int = 2) -> torch.Tensor:
    """Return n wanted candidates of each session, bool ``[S, C]``."""
    chance = torch.rand(candidates.open.shape, generator=torch.Generator().manual_seed(seed))
    places = chance.masked_fill(~candidates.open, -1).topk(n, dim=1).indices
    return torch.zeros_like(candidates.open).scatter(1, places, True)


def answers(state: State, shown: torch.Tensor, wanted: torch.Tensor) -> Feedback:
    """Return what a user answers who never errs, and goes on after an item that is wanted."""
    board = state.board
    truth = board.matching(wanted.float()) > 0
    named = torch.zeros_like(truth)
    right = torch.cat((wanted, truth, torch.zeros(len(wanted), board.n_fields, dtype=torch.bool)), dim=1)
    for session, slots in enumerate(shown.tolist()):
        for slot in slots:
            if slot >= board.n_items + board.n_terms:
                of_field = truth[session] & (board.fields[session] == slot - board.n_items - board.n_terms)
                named[session] |= of_field
                right[session, slot] = of_field.any()
    clicked = right.gather(1, shown.clamp(min=0)) & (shown >= 0)
    return Feedback(shown, clicked, named)


def play(
    system: InteractiveSystem, candidates: Candidates, wanted: torch.Tensor, rounds: int = 6, slots: int = 1
) -> list[tuple[torch.Tensor, State, Feedback]]:
    """Return, of each round, what was shown, the state before it, and the answers."""
    state, course = system.start(candidates), []
    for _ in range(rounds):
        shown = system.propose(state, slots)
        feedback = answers(state, shown, wanted)
        course.append((shown, state, feedback))
        state = system.observe(state, feedback)
    course.append((system.propose(state, slots), state, Feedback(shown, shown < -1, feedback.named)))
    return course
