"""Simulated users by themselves: rates of errors, seeds, and the same luck for everyone."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.evaluation.simulated_users import (
    SIMULATED_USERS,
    ImpatientUser,
    NoClickUser,
    NoiseFreeUser,
    NoisyUser,
    UserConfig,
)

MANY = np.arange(20_000)


@pytest.mark.parametrize("user", [NoiseFreeUser(), NoClickUser(), ImpatientUser()])
def test_only_noisy_users_err(user: UserConfig) -> None:
    assert not user.misses(MANY, 3).any()
    assert not user.slips(MANY, 3).any()


@pytest.mark.parametrize("user", [NoiseFreeUser(), NoClickUser(), NoisyUser()])
def test_only_impatient_users_leave(user: UserConfig) -> None:
    assert not user.leaves(MANY, 2, np.full_like(MANY, 5)).any()


@pytest.mark.parametrize(("kind", "rate"), [("misses", 0.15), ("slips", 0.3)])
def test_errors_have_their_rates_and_hang_on_session_moment_and_seed(kind: str, rate: float) -> None:
    def errs(seed: int, moment: int, sessions: np.ndarray = MANY) -> np.ndarray:
        return getattr(NoisyUser(miss=0.15, slip=0.3, seed=seed), kind)(sessions, moment)

    here, there, other = errs(0, 0), errs(0, 1), errs(1, 0)
    error = np.sqrt(rate * (1 - rate) / len(MANY))
    for found in (here, there, other):
        assert abs(found.mean() - rate) < 4 * error
    for found in (there, other):  # independent of each other
        both = (here & found).mean()
        assert abs(both - rate**2) < 4 * np.sqrt(rate**2 / len(MANY))
    assert (errs(0, 0, MANY[::-1]) == here[::-1]).all()


def test_misses_and_slips_are_independent() -> None:
    user = NoisyUser(miss=0.5, slip=0.5)
    assert abs((user.misses(MANY, 0) == user.slips(MANY, 0)).mean() - 0.5) < 0.02


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_ends_of_the_scale(rate: float) -> None:
    user = NoisyUser(miss=rate, slip=rate)
    assert (user.misses(MANY, 0) == bool(rate)).all()
    assert (user.slips(MANY, 0) == bool(rate)).all()


def test_impatient_users_leave_only_after_a_round_without_a_click() -> None:
    user = ImpatientUser(leave=0.2)
    assert not user.leaves(MANY, 1, np.zeros_like(MANY)).any()
    leaves = user.leaves(MANY, 1, np.ones_like(MANY))
    assert abs(leaves.mean() - 0.2) < 4 * np.sqrt(0.16 / len(MANY))
    assert (leaves == user.leaves(MANY, 1, np.full_like(MANY, 3))).all()
    assert (leaves != user.leaves(MANY, 2, np.ones_like(MANY))).any()


def test_users_are_named_in_yaml() -> None:
    clicks = {name: SIMULATED_USERS[name]().clicks_queries for name in SIMULATED_USERS}  # type: ignore[call-arg]
    assert clicks == {"noise-free": True, "noisy": True, "impatient": True, "no-click": False}
    with pytest.raises(ValueError, match="less than or equal to 1"):
        NoisyUser(miss=1.5)
