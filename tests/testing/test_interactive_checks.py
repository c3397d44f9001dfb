"""The contract checks of interactive systems fail when a promise is broken, each for its own reason."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrec_bench.models.base import Batch, GradientModel, LossTerms, ModelRegistry, Triplets
from mmrec_bench.models.interactive.base import (
    ClosedFormSystem,
    Feedback,
    InteractiveConfig,
    InteractiveContext,
    InteractiveSystem,
    State,
)
from mmrec_bench.models.interactive.filtering import FilteringSystem
from mmrec_bench.models.interactive.guess import gains
from mmrec_bench.testing import interactive_checks
from mmrec_bench.testing.contract import Check
from mmrec_bench.testing.interactive_checks import INTERACTIVE_CHECKS, check_interactive
from mmrec_bench.testing.subjects import Subject


class GoodConfig(InteractiveConfig):
    name: Literal["good"] = "good"


class Good(FilteringSystem):
    """A sane system."""

    def values(self, state: State) -> Tensor:
        return gains(state)


class GoodTrained(GradientModel, InteractiveSystem):
    """A sane system that learns how much each item is worth."""

    batch_kind: type[Batch] = Triplets

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        self.worth = nn.Parameter(torch.rand(context.lexicon.items.n_items))

    @property
    def item_representation(self) -> None:
        return None

    def loss(self, batch: Any) -> LossTerms:
        gap = self.worth.index_select(0, batch.positives) - self.worth.index_select(0, batch.negatives)
        return {"bpr": nn.functional.softplus(-gap).mean()}

    def values(self, state: State) -> Tensor:
        values = gains(state)
        rows = state.board.item_rows().clamp(min=0)
        values[:, : state.board.n_items] += self.worth.detach()[rows]
        return values

    def update(self, state: State, feedback: Feedback) -> State:
        return dataclasses.replace(state)


def subject(model: type[InteractiveSystem] = Good) -> Subject:
    registry = ModelRegistry("model")
    registry.add("good", task="interactive", config=GoodConfig, paper=None)(model)
    return Subject(registry["good"])


@pytest.mark.parametrize("check", INTERACTIVE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("model", [Good, GoodTrained])
def test_sane_systems_pass(model: type[InteractiveSystem], check: Check) -> None:
    check(subject(model))


def test_check_interactive_runs_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        interactive_checks, "INTERACTIVE_CHECKS", (lambda given: seen.append(str(given.options["preset"])),)
    )
    check_interactive("item-only")
    assert seen == ["clean", "released"]


class Repeats(Good):
    """Shows again what was shown."""

    def observe(self, state: State, feedback: Feedback) -> State:
        return dataclasses.replace(self.update(state, feedback))


class Twice(Good):
    """Shows one slot in both places."""

    def propose(self, state: State, n_slots: int) -> Tensor:
        return super().propose(state, 1).expand(-1, n_slots)


class Broken(Good):
    """Its relevance is not finite."""

    def update(self, state: State, feedback: Feedback) -> State:
        scores = state.scores.clone()
        scores[:, state.board.n_items :] = torch.inf
        return dataclasses.replace(state, scores=scores)


class WritesInto(Good):
    """Writes into the state."""

    def update(self, state: State, feedback: Feedback) -> State:
        state.scores.mul_(0.9)
        return dataclasses.replace(state)


class Rolls(Good):
    """Draws from a generator that no seed of the run decides."""

    generator = torch.Generator().manual_seed(1)

    def values(self, state: State) -> Tensor:
        return gains(state) + torch.rand(state.open.shape, generator=self.generator)


class Crowd(Good):
    """Looks at the other sessions of a block."""

    def values(self, state: State) -> Tensor:
        values = gains(state)
        values[:, : state.board.n_items] -= 9 * values[:, : state.board.n_items].mean(dim=0)
        return values


class Remembers(Good):
    """Keeps in itself what belongs into the state."""

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        self.turns = 0

    def update(self, state: State, feedback: Feedback) -> State:
        self.turns += 1
        return dataclasses.replace(state, scores=state.scores * (1 + self.turns))


class Forgets(GoodTrained):
    """What it has learned is not in its state."""

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        self.hidden = torch.rand(context.lexicon.items.n_items)
        context.seeds.seed_global("other")

    def loss(self, batch: Any) -> LossTerms:
        self.hidden = self.hidden.index_add(0, batch.positives, torch.ones(len(batch.positives)))
        return super().loss(batch)

    def values(self, state: State) -> Tensor:
        values = super().values(state)
        values[:, : state.board.n_items] += self.hidden[state.board.item_rows().clamp(min=0)]
        return values


class Idle(GoodTrained):
    """Has a parameter that nothing trains."""

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        self.unused = nn.Parameter(torch.rand(2))


class Vandal(Good):
    """Closes candidates it was given."""

    def start(self, candidates: Any) -> State:
        candidates.open[:, 3] = False
        return super().start(candidates)


class Deaf(GoodTrained):
    """Begins with the same parameters whatever the seed."""

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__(config, context)
        self.worth = nn.Parameter(torch.from_numpy(np.random.default_rng(0).random(len(self.worth)).astype("float32")))


@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        (Repeats, "check_proposals", "shows again"),
        (Twice, "check_proposals", "a slot twice"),
        (Broken, "check_proposals", "not finite"),
        (WritesInto, "check_state_is_pure", "writes into the state"),
        (Rolls, "check_state_is_pure", "one state twice proposes differently"),
        (Remembers, "check_state_is_pure", "one state and feedback twice"),
        (Crowd, "check_sessions_are_apart", "beside other sessions"),
        (Rolls, "check_determinism_of_sessions", "one seed twice gives different sessions 0"),
        (Deaf, "check_determinism_of_sessions", "another seed gives the same"),
        (Idle, "check_interactive_loss", "no gradient reaches"),
        (Forgets, "check_interactive_save_and_load", "state_dict misses something"),
        (Vandal, "check_what_it_is_given", "changes the candidates"),
    ],
)
def test_who_breaks_a_promise_is_caught(model: type[InteractiveSystem], check: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(interactive_checks, check)(subject(model))


def test_a_system_that_is_neither_trained_nor_fitted_is_refused() -> None:
    class Neither(InteractiveSystem):
        """Neither."""

        values = Good.values

        def update(self, state: State, feedback: Feedback) -> State:
            return state

    assert not issubclass(Neither, ClosedFormSystem)
    with pytest.raises(AssertionError, match="must be an InteractiveSystem, and a GradientModel or ClosedForm"):
        interactive_checks.check_proposals(subject(Neither))
