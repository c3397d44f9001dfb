"""What the contract checks of interactive systems work on: a tiny world of words, and made-up sessions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Lexicon, Supports, mined_lexicon
from mmrec_bench.models.base import ClosedForm, GradientModel, LossTerms, Triplets
from mmrec_bench.models.interactive.base import Feedback, InteractiveContext, InteractiveSystem, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.retrieval.base import Representations, tie_ranks
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.subjects import Subject, backward, fail

N_USERS, N_ITEMS, N_SESSIONS = 14, 26, 8
ROUNDS, SLOTS = 5, 2


def tiny_lexicon() -> Lexicon:
    """Return words of two closed fields and of titles, and pairs; item 0 has no word, item 1 a rare one alone."""
    random = np.random.default_rng(11)
    words: list[list[tuple[str, str]]] = [[], [("brand", "seldom")]]
    for _ in range(N_ITEMS - 2):
        kinds = random.choice(5, size=random.integers(1, 4), replace=False)
        words.append([("brand", f"b{random.integers(4)}"), *(("kind", f"k{kind}") for kind in kinds)])
    titles = np.array([" ".join(random.choice(["red", "large", "soft"], size=2)) for _ in range(N_ITEMS)])
    return mined_lexicon(ItemTable(titles=titles, words=Words.of(words)), Supports(2, 0.8, title_min_items=3))


def tiny_interactive_context(seed: int = 0) -> InteractiveContext:
    """Return histories, words and a base; the last user has no history, and the base knows no preference of user 0.

    Args:
        seed: Seed of the run; the data are always the same.
    """
    random = np.random.default_rng(5)
    draws = [random.choice(N_ITEMS, size=1 + user % 5, replace=False) for user in range(N_USERS - 1)]
    users = np.repeat(np.arange(N_USERS - 1), [len(draw) for draw in draws])
    liking, liked = (torch.from_numpy(random.standard_normal((n, 6)).astype(np.float32)) for n in (N_USERS, N_ITEMS))
    liking[0] = 0
    ties = tie_ranks(np.array([f"item{row}" for row in range(N_ITEMS)]), 0)
    train = Interactions(users, np.concatenate(draws).astype(np.int64), N_USERS, N_ITEMS)
    return InteractiveContext(train, tiny_lexicon(), Representations(liking, liked), ties, Seeds(seed), len(train))


def tables() -> tuple[Candidates, Candidates]:
    """Return sessions over the whole catalogue, of which some items are not open, and over a few items each."""
    random = np.random.default_rng(3)
    users = torch.arange(N_SESSIONS)
    is_open = torch.from_numpy(random.random((N_SESSIONS, N_ITEMS)) < 0.9)
    items = torch.from_numpy(np.sort(np.stack([random.permutation(N_ITEMS)[:9] for _ in range(N_SESSIONS)]), axis=1))
    items[2, 6:] = -1  # fewer candidates
    return Candidates(users, users, None, is_open), Candidates(users, users, items, items >= 0)


def build_interactive(subject: Subject, context: InteractiveContext) -> InteractiveSystem:
    """Return the untrained system, its initial values drawn from the context's seed."""
    context.seeds.seed_global("contract-init")
    system = subject.entry.build(subject.config(), context)
    if not isinstance(system, InteractiveSystem) or not isinstance(system, GradientModel | ClosedForm):
        raise fail(subject, f"{type(system).__name__} must be an InteractiveSystem, and a GradientModel or ClosedForm")
    return system


def trained_interactive(subject: Subject, context: InteractiveContext, epochs: int = 2) -> InteractiveSystem:
    """Return the system after some Adam steps on all pairs at once, or after fitting, in evaluation mode."""
    system = build_interactive(subject, context)
    if isinstance(system, GradientModel):
        optimizer = torch.optim.Adam(system.parameters(), lr=1e-2)
        for epoch in range(epochs):
            optimizer.zero_grad()
            backward(interactive_loss(system, context, epoch))
            optimizer.step()
    elif isinstance(system, ClosedForm):
        system.fit(context)
    return system.eval()


def played(system: InteractiveSystem, candidates: Candidates) -> tuple[list[Tensor], list[State]]:
    """Return what is shown in some rounds, and all states; every third node is clicked, and some words are named."""
    state, shown = system.start(candidates), []
    states = [state]
    for turn in range(ROUNDS):
        slots = system.propose(state, SLOTS)
        shown.append(slots)
        state = system.observe(state, made_up_feedback(state, slots, turn))
        states.append(state)
    return shown, states


def interactive_loss(system: GradientModel, context: InteractiveContext, epoch: int) -> LossTerms:
    """Return the loss terms of all pairs at once, as a trainer would ask for them in an epoch."""
    context.seeds.seed_global("contract-epoch", epoch)
    system.train()
    system.on_epoch_start(epoch)
    train = context.train
    unseen = train.matrix().toarray()[train.users] == 0
    ranks = np.where(unseen, context.seeds.numpy("contract-negatives").random(unseen.shape), -1.0)
    columns = (train.users, train.items, ranks.argmax(axis=1))
    return system.loss(Triplets(*(torch.tensor(column) for column in columns)))


def nodes_of(slots: Tensor, state: State) -> Tensor:
    """Return what slots stand for: items, terms after them, fields after these; places of terms hang on the block."""
    board = state.board
    fields = torch.arange(board.n_fields).expand(len(slots), -1)
    table = torch.cat((board.item_rows(), board.terms + 1_000_000, fields + 2_000_000), dim=1)
    return table.gather(1, slots.clamp(min=0)).masked_fill(slots < 0, -1)


def made_up_feedback(state: State, slots: Tensor, turn: int) -> Feedback:
    """Return made-up answers that hang on what is shown and on the round, not on places in a block."""
    board, nodes = state.board, nodes_of(slots, state)
    clicked = ((nodes + turn) % 3 == 0) & (slots >= board.n_items)
    asked = torch.zeros(len(slots), board.n_fields + 1, dtype=torch.bool)
    field = (slots - board.n_items - board.n_terms + 1).clamp(min=0)
    asked = asked.scatter(1, field, True)
    asked[:, 0] = False
    return Feedback(slots, clicked, asked.gather(1, board.fields + 1) & (board.terms % 2 == 0) & (board.terms >= 0))
