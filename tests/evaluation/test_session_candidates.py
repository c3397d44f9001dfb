"""Who wants what among which candidates: three wanted and 27 never had, or the whole catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ProtocolError
from mmrec_bench.evaluation.session_candidates import FullCandidates, SampledCandidates, Sessions, sessions

N_USERS, N_ITEMS = 300, 70


@pytest.fixture(scope="module")
def parts() -> tuple[Interactions, Interactions]:
    """Known rows, and 1 to 5 held-out rows of every third user."""
    rng = np.random.default_rng(1)
    known, wanted = np.zeros((N_USERS, N_ITEMS), bool), np.zeros((N_USERS, N_ITEMS), bool)
    for user in range(N_USERS):
        items = rng.permutation(N_ITEMS)
        known[user, items[: rng.integers(2, 12)]] = True
        if user % 3 == 0:
            wanted[user, items[-rng.integers(1, 6) :]] = True
    return tuple(Interactions(*map(np.asarray, part.nonzero()), N_USERS, N_ITEMS) for part in (known, wanted))  # type: ignore[return-value]


def joined(blocks: list[Sessions]) -> Sessions:
    items = None if blocks[0].items is None else np.concatenate([block.items for block in blocks])  # type: ignore[misc]
    return Sessions(
        np.concatenate([block.numbers for block in blocks]),
        np.concatenate([block.users for block in blocks]),
        items,
        np.concatenate([block.open for block in blocks]),
        np.concatenate([block.wanted for block in blocks]),
    )


def test_three_are_wanted_and_27_were_never_had(parts: tuple[Interactions, Interactions]) -> None:
    known, truth = parts
    held = joined(list(sessions(SampledCandidates(), 2, known, truth)))
    had, wants = known.matrix().toarray() > 0, truth.matrix().toarray() > 0
    assert held.users.tolist() == np.repeat(np.unique(truth.users), 2).tolist()
    assert held.numbers.tolist() == list(range(200))
    assert held.items is not None
    assert held.open.all()
    for user, items, wanted in zip(held.users, held.items, held.wanted, strict=True):
        assert len(set(items.tolist())) == 30
        assert wanted.sum() == min(3, wants[user].sum())
        assert wants[user, items[wanted]].all()
        assert not (had[user] | wants[user])[items[~wanted]].any()
    pairs = held.items.reshape(100, 2, 30)
    assert (pairs[:, 0] != pairs[:, 1]).any(axis=1).all(), "each session of a user has its own"


def test_blocks_and_the_company_of_others_change_no_candidate(
    parts: tuple[Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, truth = parts
    whole = joined(list(sessions(SampledCandidates(), 3, known, truth)))
    monkeypatch.setattr(SampledCandidates, "block", 7)
    blocks = list(sessions(SampledCandidates(), 3, known, truth))
    assert len(blocks) == 43
    again = joined(blocks)
    for name in ("numbers", "users", "items", "open", "wanted"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))


def test_seeds_draw_others(parts: tuple[Interactions, Interactions]) -> None:
    one, other = (joined(list(sessions(SampledCandidates(seed=seed), 1, *parts))) for seed in (0, 1))
    assert (one.items != other.items).any()
    many = parts[1].user_counts()[one.users] > 3
    assert many.any()
    chosen = [np.where(held.wanted, held.items, -1)[many] for held in (one, other)]  # type: ignore[arg-type]
    assert (np.sort(chosen[0], axis=1)[:, -3:] != np.sort(chosen[1], axis=1)[:, -3:]).any()


def test_what_was_never_had_is_drawn_uniformly_and_so_is_what_is_wanted() -> None:
    """Chi-square against uniform inclusion; draws without replacement vary less, so the bound is generous."""
    known = Interactions(np.zeros(2, int), np.array([0, 1]), 1, 52)
    truth = Interactions(np.zeros(6, int), np.arange(2, 8), 1, 52)
    n = 6_000
    held = SampledCandidates(n=15, wanted=3).held(np.zeros(n, int), np.arange(n), known, truth)
    assert held.items is not None
    for rows, low, high, share in ((held.wanted, 2, 8, 3 / 6), (~held.wanted, 8, 52, 12 / 44)):
        counts = np.bincount(held.items[rows], minlength=52)
        assert counts[:low].sum() + counts[high:].sum() == 0
        seen, size = counts[low:high], high - low
        statistic = ((seen - n * share) ** 2 / (n * share * (1 - share))).sum() * (size - 1) / size
        assert chi2.ppf(1e-4, size - 1) < statistic < chi2.ppf(1 - 1e-4, size - 1)


def test_a_user_who_has_had_nearly_everything_gets_fewer() -> None:
    known = Interactions(np.zeros(15, int), np.arange(15), 1, 20)
    truth = Interactions(np.zeros(2, int), np.array([16, 18]), 1, 20)
    held = SampledCandidates(n=10, wanted=3).held(np.array([0]), np.array([0]), known, truth)
    assert held.items is not None
    assert held.items.tolist() == [[15, 16, 17, 18, 19, -1, -1, -1, -1, -1]]
    assert held.open.tolist() == [[True] * 5 + [False] * 5]
    assert held.wanted.tolist() == [[False, True, False, True] + [False] * 6]


def test_the_full_catalogue_is_open_but_for_what_is_known(parts: tuple[Interactions, Interactions]) -> None:
    known, truth = parts
    held = joined(list(sessions(FullCandidates(), 1, known, truth)))
    assert held.items is None
    users = np.unique(truth.users)
    np.testing.assert_array_equal(held.open, known.matrix().toarray()[users] == 0)
    np.testing.assert_array_equal(held.wanted, truth.matrix().toarray()[users] > 0)


def test_a_system_sees_no_truth(parts: tuple[Interactions, Interactions]) -> None:
    """Candidates look the same whichever of them are wanted."""
    held = next(sessions(SampledCandidates(), 1, *parts))
    seen = held.candidates(torch.device("cpu"))
    assert set(seen.__dataclass_fields__) == {"sessions", "users", "items", "open"}
    assert (np.diff(held.items, axis=1) > 0).all(), "in order of rows, not the wanted first"


def test_settings_that_leave_no_choice_are_refused() -> None:
    with pytest.raises(ValueError, match="n must exceed wanted, or nothing is left to choose; got 3 and 3"):
        SampledCandidates(n=3, wanted=3)
    with pytest.raises(ProtocolError, match=r"protocol\.candidates\.n is 30, and there are 12 items\. Lower it in x"):
        SampledCandidates().check_catalogue(12, "x.yaml")
    FullCandidates().check_catalogue(12, "x.yaml")
    assert (SampledCandidates().label, FullCandidates().label) == ("sampled-30", "full")
