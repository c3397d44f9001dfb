"""The contract of an interactive system: it starts sessions, proposes, observes, and keeps no secrets.

A third party tests its system in two lines::

    from mmrec_bench.testing.interactive_checks import check_interactive
    def test_contract(): check_interactive("my-system")
"""

from __future__ import annotations

import dataclasses
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mmrec_bench.models.base import MODELS, GradientModel
from mmrec_bench.models.interactive.base import Feedback, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.config_checks import (
    check_config_round_trip,
    check_documentation,
    check_parameter_names,
    check_released_preset,
    check_unknown_key_is_refused,
)
from mmrec_bench.testing.contract import Check
from mmrec_bench.testing.interactive_subjects import (
    N_SESSIONS,
    SLOTS,
    build_interactive,
    interactive_loss,
    made_up_feedback,
    nodes_of,
    played,
    tables,
    tiny_interactive_context,
    trained_interactive,
)
from mmrec_bench.testing.subjects import Subject, backward, require, require_what_seeds_do


def check_proposals(subject: Subject) -> None:
    """Proposals are open slots without repeats, what was shown is not shown again, and relevance is finite."""
    system = trained_interactive(subject, tiny_interactive_context())
    for candidates in tables():
        shown, states = played(system, candidates)
        seen = torch.zeros_like(states[0].open)
        for slots, state in zip(shown, states, strict=False):
            width = state.board.n_items + state.board.n_terms + state.board.n_fields
            require(slots.shape == (N_SESSIONS, SLOTS), subject, f"propose() gives the shape {tuple(slots.shape)}")
            require(slots.dtype == torch.int64, subject, f"propose() gives {slots.dtype}; slots are int64")
            require(bool(((slots >= -1) & (slots < width)).all()), subject, "propose() gives slots that do not exist")
            told = torch.zeros_like(seen).scatter(1, slots.clamp(min=0), slots >= 0)
            require(bool((told.sum(dim=1) == (slots >= 0).sum(dim=1)).all()), subject, "a round shows a slot twice")
            require(not (told & ~state.open).any(), subject, "propose() shows what is not open")
            require(not (told & seen).any(), subject, "propose() shows again what was shown")
            has_items = state.open[:, : state.board.n_items].any(dim=1)
            require(not (has_items & (slots[:, 0] < 0)).any(), subject, "propose() shows nothing though items are open")
            seen |= told
        for state in states:
            require(bool(torch.isfinite(state.scores).all()), subject, "scores of items or terms are not finite")
            require(not (state.open & ~states[0].open).any(), subject, "observe() opens what was closed")
            require(state.scores.dtype == torch.float32, subject, f"scores must be float32; got {state.scores.dtype}")


def check_state_is_pure(subject: Subject) -> None:
    """A state is a value: looking at it and going on from it change neither it nor another that goes on from it."""
    system = trained_interactive(subject, tiny_interactive_context())
    for candidates in tables():
        for state in played(system, candidates)[1]:
            before = _tensors(state)
            first = system.propose(state, SLOTS)
            one = system.observe(state, made_up_feedback(state, first, 0))
            other = system.observe(state, made_up_feedback(state, first, 1))
            again = system.observe(state, made_up_feedback(state, first, 0))
            require(torch.equal(system.propose(state, SLOTS), first), subject, "one state twice proposes differently")
            same = all(torch.equal(a, b) for a, b in zip(_tensors(one), _tensors(again), strict=True))
            require(same, subject, "one state and feedback twice give different states")
            require(one is not other, subject, "observe() gives the state it was given")
            kept = all(torch.equal(a, b) for a, b in zip(before, _tensors(state), strict=True))
            require(kept, subject, "propose() or observe() writes into the state it is given")


def check_sessions_are_apart(subject: Subject) -> None:
    """What a session shows does not hang on the sessions beside it, nor on their order."""
    system = trained_interactive(subject, tiny_interactive_context())
    for candidates in tables():
        whole, states = played(system, candidates)
        nodes = [nodes_of(slots, state) for slots, state in zip(whole, states, strict=False)]
        for rows in (torch.tensor([5]), torch.arange(N_SESSIONS - 1, -1, -1)):
            items = None if candidates.items is None else candidates.items[rows]
            part = Candidates(candidates.sessions[rows], candidates.users[rows], items, candidates.open[rows])
            state = system.start(part)
            for turn, (slots, before) in enumerate(zip(whole, states, strict=False)):
                found = system.propose(state, SLOTS)
                same = torch.equal(nodes_of(found, state), nodes[turn][rows])
                require(same, subject, "sessions show other things beside other sessions")
                feedback = made_up_feedback(before, slots, turn)
                named = feedback.named[rows][:, : state.board.n_terms]
                state = system.observe(state, Feedback(found, feedback.clicked[rows], named))


def check_determinism_of_sessions(subject: Subject) -> None:
    """One seed gives bit-identical parameters, losses, gradients and sessions; another differs where seeds matter."""
    first, second, other = (_trace(subject, seed) for seed in (3, 3, 4))
    differing = [key for key in first if not torch.equal(first[key], second[key])]
    require(not differing, subject, f"one seed twice gives different {', '.join(differing)}")
    require_what_seeds_do(subject, first, other)


def check_interactive_loss(subject: Subject) -> None:
    """Loss terms are named finite scalars, and every parameter gets a finite gradient that is not zero."""
    context = tiny_interactive_context()
    system = build_interactive(subject, context)
    if not isinstance(system, GradientModel):
        require(not list(system.parameters()), subject, "it has parameters that nothing trains")
        return
    terms = interactive_loss(system, context, 0)
    require(bool(terms), subject, "loss() gives no term")
    for name, term in terms.items():
        finite = term.shape == () and bool(torch.isfinite(term))
        require(finite, subject, f"loss term '{name}' must be a finite scalar; got {term}")
    for _ in range(2):  # forms that start at zero pass on no gradient in the first step
        system.zero_grad()
        backward(interactive_loss(system, context, 0))
        with torch.no_grad():
            for parameter in system.parameters():
                require(parameter.grad is not None, subject, "no gradient reaches a parameter")
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)
    for name, parameter in system.named_parameters():
        assert parameter.grad is not None
        require(bool(torch.isfinite(parameter.grad).all()), subject, f"the gradient of '{name}' is not finite")
        require(bool(parameter.grad.any()), subject, f"the gradient of '{name}' is zero everywhere")


def check_interactive_save_and_load(subject: Subject) -> None:
    """Weights loaded into a system built with another seed hold the same sessions."""
    system = trained_interactive(subject, tiny_interactive_context())
    saved = safetensors.torch.save({key: value.contiguous() for key, value in system.state_dict().items()})
    other = build_interactive(subject, dataclasses.replace(tiny_interactive_context(99), seeds=Seeds(0)))
    other.load_state_dict(safetensors.torch.load(saved), strict=True)
    other.eval()
    for candidates in tables():
        for one, two in zip(played(system, candidates)[0], played(other, candidates)[0], strict=True):
            require(torch.equal(one, two), subject, "loaded weights show other things: the state_dict misses something")


def check_what_it_is_given(subject: Subject) -> None:
    """Training and sessions write into nothing that they are given."""
    context = tiny_interactive_context()
    candidates = tables()
    before = (context.train.fingerprint(), context.lexicon.fingerprint(), context.ties.tolist())
    opened = [table.open.clone() for table in candidates]
    system = trained_interactive(subject, context)
    for table in candidates:
        played(system, table)
    after = (context.train.fingerprint(), context.lexicon.fingerprint(), context.ties.tolist())
    require(before == after, subject, "it changes the data it was given")
    same = all(torch.equal(table.open, kept) for table, kept in zip(candidates, opened, strict=True))
    require(same, subject, "it changes the candidates it was given")


INTERACTIVE_CHECKS: tuple[Check, ...] = (
    check_config_round_trip,
    check_unknown_key_is_refused,
    check_released_preset,
    check_parameter_names,
    check_documentation,
    check_proposals,
    check_state_is_pure,
    check_sessions_are_apart,
    check_determinism_of_sessions,
    check_interactive_loss,
    check_interactive_save_and_load,
    check_what_it_is_given,
)
"""What every interactive system must pass with either preset."""


def check_interactive(name: str, **options: Any) -> None:
    """Run all checks on the registered interactive system ``name``, with both presets.

    Args:
        name: Name in the registry.
        options: Config keys.

    Raises:
        AssertionError: The first broken promise.
    """
    for preset in ("clean", "released"):
        for check in INTERACTIVE_CHECKS:
            check(Subject(MODELS[name], {**options, "preset": preset}))


def _tensors(state: State) -> list[Tensor]:
    values = (getattr(state, field.name) for field in dataclasses.fields(state))
    return [value.clone() for value in values if isinstance(value, Tensor)]


def _trace(subject: Subject, seed: int) -> dict[str, Tensor]:
    """Return everything a seed decides: initial state, loss terms, gradients, and what is shown after training."""
    context = tiny_interactive_context(seed)
    system = build_interactive(subject, context)
    trace = {f"state '{key}'": value.detach().clone() for key, value in system.state_dict().items()}
    if isinstance(system, GradientModel):
        terms = interactive_loss(system, context, 0)
        backward(terms)
        trace |= {f"loss term '{key}'": term.detach() for key, term in terms.items()}
        trace |= {f"gradient '{key}'": p.grad for key, p in system.named_parameters() if p.grad is not None}
    trained = trained_interactive(subject, tiny_interactive_context(seed))
    for number, candidates in enumerate(tables()):
        shown, states = played(trained, candidates)
        trace |= {f"sessions {number}": torch.stack(shown), f"scores {number}": states[-1].scores}
    return trace
