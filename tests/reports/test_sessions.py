"""Tables of sessions: against item-only, what was shown, curves; from runs that are made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.report import Group, make_report
from mmrec_bench.reports.table import Table

USERS = [f"user-{number}" for number in range(8)]
FOUND = {  # rounds that were over when each session found an item; 9 for those that never do
    "item-only": [0, 9, 2, 9, 9, 1, 9, 9],
    "core": [1, 0, 2, 0, 9, 0, 3, 9],
    "magus": [2, 2, 9, 2, 2, 3, 2, 0],
}


class MadeUp(RunArtefact):
    """A run in memory, of users with one session each, or the first with three."""

    def config(self) -> dict[str, Any]:
        inputs = {"base": {"select_by": "recall@20"}}
        return {"dataset": {}, "inputs": inputs, "protocol": self.manifest["protocol"]}

    def per_user(self, columns: object = None) -> pd.DataFrame:
        table: pd.DataFrame = self.manifest["per_user"]
        return table


def scores(found: list[int], k: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return success and turns of sessions; a slow and plain reference."""
    success = [1.0 if rounds < k else 0.0 for rounds in found]
    turns = [float(rounds) if rounds < k else k + 3.0 for rounds in found]
    return np.array(success), np.array(turns)


def made_up(
    system: str,
    base: str = "mf",
    seed: int = 0,
    *,
    users: list[str] = USERS,
    found: list[int] | None = None,
    candidates: dict[str, Any] | None = None,
) -> RunArtefact:
    columns: dict[str, Any] = {}
    for k in (1, 3):
        columns[f"success@{k}"], columns[f"turns@{k}"] = scores(found or FOUND[system], k)
        columns[f"mrr@{k}"] = columns[f"success@{k}"] / 2
    names = [f"{metric}@{k}" for metric in ("success", "turns", "mrr") for k in (1, 3)]
    means = {name: float(columns[name].mean()) for name in names}
    told = {
        "held": 8,
        "without_wanted": 2,
        "wanted_per_session": 3.0,
        "candidates_per_session": 30.0,
        "shown": {"item": 12, "query": 20, "field": 0},
        "clicked_queries": 10,
        "violations": 0 if system == "core" else 4,
        "curve": {"found": [0.0, 0.25, 0.5, 0.625], "first_rank": [8.0, 6.0, 4.0, 2.0 + seed]},
    }
    manifest = {
        "task": "interactive",
        "dataset": "shop",
        "model": f"{system} on {base}",
        "parts": [system, base],
        "seed": seed,
        "protocol_id": f"interactive/{candidates}",
        "protocol": {
            "cutoffs": [1, 3],
            "slots": 2,
            "last_guess": True,
            "penalty": 3.0,
            "candidates": candidates or {"name": "sampled", "n": 30, "wanted": 5, "seed": 0},
            "split": {"name": "online-users", "held_out": 3},
            "user": {"name": "noisy", "miss": 0.1},
            "queries": {"name": "mined", "max_words": 2},
        },
        "select_by": "success@1",
        "fingerprints": {"config": f"{system}-{base}", "data": "d", "split": "s"},
        "inputs": [
            {
                "kind": "base",
                "model": base,
                "seed": 0,
                "fingerprint": base,
                "metrics": {"ndcg@5": 0.25, "recall@20": 0.125},
            },
        ],
        "sessions": {"valid": told, "test": told},
        "lexicon": {"words": 70, "compound_queries": 1121, "notes": ["70 of 90 words are of use"]},
        "n_parameters": {"total": 0, "item_representation": 0},
        "training": {"epochs_run": 1},
        "seconds": {"prepare": 0.0, "train": 0.0, "validate": 0.0, "test": 0.0},
        "peak_memory_mib": 1.0,
        "device": {"name": "a CPU"},
        "threads": 1,
        "per_user": pd.DataFrame({"part": "test", "user_id": users, **columns}),
    }
    return MadeUp(Path("none"), manifest, {"valid": means, "test": means, "test_slices": {}})


def group_of(*runs: RunArtefact) -> Group:
    ((group,),) = make_report("T", "c", [(None, run) for run in runs]).groups.values()
    return group


def table(group: Group, title: str) -> Table:
    return next(table for table in group.tables if table.title.endswith(title))


def cells(group: Group, title: str) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table(group, title).rows}


@pytest.mark.parametrize(("metric", "column"), [("success", 0), ("turns", 1)])
def test_against_item_only_sessions_are_paired(metric: str, column: int) -> None:
    group = group_of(*(made_up(system) for system in FOUND))
    shown = table(group, f"{metric} against item-only")
    assert shown.header == ("model", "n", f"{metric}@1", f"{metric}@3")
    assert shown.rows[0][0] == "item-only on mf", "the reference stands first, with its own values"
    for place, k in enumerate((1, 3)):
        reference = scores(FOUND["item-only"], k)[column]
        assert shown.rows[0][2 + place] == f"{reference.mean():.4f}"
        for row in shown.rows[1:]:
            own = scores(FOUND[row[0].split()[0]], k)[column]
            found = stats.ttest_rel(own, reference).confidence_interval(0.95)
            expected = f"{(own - reference).mean():+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
            assert row[2 + place] == expected


def test_turns_fall_where_a_system_is_better_and_the_note_says_so() -> None:
    group = group_of(made_up("item-only"), made_up("core"))
    assert cells(group, "success against item-only")["core on mf"][2].startswith("+0.")
    assert cells(group, "turns against item-only")["core on mf"][2].startswith("-")
    assert "lower is better" in table(group, "turns against item-only").note
    assert "higher is better" in table(group, "success against item-only").note
    assert "Lower is better: turns." in table(group, "accuracy").note
    order = [row[0] for row in table(group, "accuracy").rows]
    assert order == ["core on mf", "item-only on mf"], "more success first, whatever the turns"
    assert "Lower is better" in table(group, "place of the first wanted item by round").note
    assert "Lower is better" not in table(group, "share found by round").note


def test_each_base_has_its_own_reference_and_systems_without_one_are_named() -> None:
    runs = [
        made_up("item-only"), made_up("core"), made_up("core", "popularity"), made_up("magus", "vbpr"),
        made_up("item-only", "popularity", found=[9] * 8),
    ]  # fmt: skip
    group = group_of(*runs)
    shown = cells(group, "success against item-only")
    own = scores(FOUND["core"], 3)[0].mean()
    assert shown["core on popularity"][2].startswith(f"{own:+.4f} "), "nothing is found there without asking"
    assert shown["core on mf"][2].startswith(f"{own - scores(FOUND['item-only'], 3)[0].mean():+.4f} ")
    assert "magus on vbpr" not in shown
    assert "No item-only around the base of: magus on vbpr." in table(group, "success against item-only").note
    labels = list(shown)
    assert labels.index("item-only on mf") + 1 == labels.index("core on mf")
    assert labels.index("item-only on popularity") + 1 == labels.index("core on popularity")


def test_without_a_pair_there_is_no_such_table() -> None:
    for runs in ([made_up("core"), made_up("magus")], [made_up("item-only")]):
        assert not any("against" in table.title for table in group_of(*runs).tables)


def ends(cell: str) -> tuple[float, float]:
    low, high = cell.partition("[")[2].rstrip("]").split(", ")
    return float(low), float(high)


def test_seeds_and_sessions_of_one_user_widen_the_interval() -> None:
    single = ends(cells(group_of(made_up("item-only"), made_up("core")), "success against item-only")["core on mf"][2])
    seeds = [made_up("core", seed=seed, found=found) for seed, found in enumerate(([0] * 8, [9] * 6 + [0] * 2))]
    several = cells(group_of(made_up("item-only"), *seeds), "success against item-only")["core on mf"]
    assert several[0] == "2"
    assert ends(several[2])[1] - ends(several[2])[0] > 3 * (single[1] - single[0]), "two seeds that are far apart"

    # Four users with two sessions each, which go alike: no more is known than of four users.
    halves = {name: [rounds for rounds in FOUND[name][:4] for _ in range(2)] for name in ("item-only", "core")}
    users = [name for name in USERS[:4] for _ in range(2)]
    pair = [made_up(name, users=users, found=halves[name]) for name in halves]
    shown = cells(group_of(*pair), "turns against item-only")["core on mf"][2]
    own, reference = (scores(FOUND[name][:4], 3)[1] for name in ("core", "item-only"))
    found = stats.ttest_rel(own, reference).confidence_interval(0.95)
    assert ends(shown) == pytest.approx((found.low, found.high), abs=6e-5)


def test_what_was_shown_and_how_sessions_go_on() -> None:
    group = group_of(made_up("item-only"), made_up("core"), made_up("core", seed=1))
    shown = cells(group, "what was shown")
    assert shown["item-only on mf"] == ("1.50", "2.50", "0.00", "62.5%", "50.0%", "4", "40.0%")
    assert shown["core on mf"][-2:] == ("0", "0.0%")
    assert table(group, "share found by round").header == ("model", "0", "1", "2", "3")
    assert cells(group, "share found by round")["core on mf"] == ("0.000", "0.250", "0.500", "0.625")
    assert cells(group, "first wanted item by round")["core on mf"][-1] == "2.50", "a mean over seeds"


def test_every_title_says_that_candidates_are_sampled() -> None:
    group = group_of(made_up("item-only"), made_up("core"))
    assert all(table.title.startswith("shop, 30 sampled candidates (3 wanted): ") for table in group.tables)
    assert len(group.tables) == 8
    assert group.facts[0].startswith("Candidates are sampled")
    group = group_of(made_up("core", candidates={"name": "full"}))
    assert all(table.title.startswith("shop, full catalogue: ") for table in group.tables)
    assert not any("sampled" in fact for fact in group.facts)
    both = make_report("T", "c", [(None, made_up("core")), (None, made_up("core", candidates={"name": "full"}))])
    assert len(both.groups["interactive"]) == 2, "they never share a table"


def test_sessions_on_other_words_never_share_a_table() -> None:
    runs = [made_up("core"), made_up("core", seed=1), made_up("core", seed=2)]
    for run, lexicon in zip(runs, "aab", strict=True):
        cast("dict[str, Any]", run.manifest["fingerprints"])["lexicon"] = lexicon
    made = make_report("T", "c", [(None, run) for run in runs])
    assert len(made.groups["interactive"]) == 2


def test_facts_and_numbers() -> None:
    made = make_report("T", "c", [(None, made_up("core", seed=seed)) for seed in (0, 1)])
    ((group,),) = made.groups.values()
    for fact in (
        "Sessions have 3 rounds of 2 slots and a last guess after them; a failure counts K + 3 turns.",
        "Simulated user: noisy (miss 0.1).",
        "Queries are mined (max_words 2): 70 words and 1,121 compound queries.",
        "70 of 90 words are of use.",
        "Bases, retrieval on their validation part: mf (seed 0) recall@20 0.1250.",
    ):
        assert fact in group.facts
    assert any("(2 without a wanted candidate left out)" in fact for fact in group.facts)
    told = made.frame[made.frame["part"] == "test"].set_index("metric")["mean"]
    assert (told["found-after-3"], told["first-rank-after-3"]) == (0.625, 2.5)
    assert (told["shown-query"], told["clicked-queries"], told["violations"]) == (20, 10, 0)
