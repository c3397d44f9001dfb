"""How much choosing settings by the test part adds: what would have been published beside what validation chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.legacy.folder import LegacyArtefact
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.reports.legacy_file import LegacyFile, LegacyLine
from mmrec_bench.reports.table import ABSENT, Table
from mmrec_bench.reports.user_scores import linearised
from mmrec_bench.statistics.contrast import LEVEL, over_users

WORDS = (
    "Shown, never used: these test scores of trials stand in a folder that no tuner and no table of results reads, and "
    "the vault was opened for them under the purpose `legacy-emulation`."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What two ways of choosing one trial of a study come to.

    Attributes:
        facts: Of the emulation.
        metric: The metric by which both choose.
        n_trials: Complete trials.
        n_users: Users of the test part.
        chosen: The trial that validation chose: ``trial, values, valid, test``.
        best: The trial that is best on test.
        interval: Of the difference of both, over users, paired.
        decimals: Digits to which scores were rounded before the best on test was chosen; None: not at all.
    """

    facts: Mapping[str, Any]
    metric: str
    n_trials: int
    n_users: int
    chosen: Mapping[str, Any]
    best: Mapping[str, Any]
    interval: tuple[float, float] | None
    decimals: int | None

    @property
    def scores(self) -> tuple[float, float]:
        """Test score of what validation chose, and of the best on test."""
        return self.chosen["test"][self.metric], self.best["test"][self.metric]

    @property
    def bias(self) -> float:
        """How much the choice on test adds, in the better direction; never below zero, but by rounding."""
        chosen, best = self.scores
        return (best - chosen) * (-1 if lower_is_better([self.metric]) else 1)


def selection_of(emulation: LegacyArtefact, decimals: int | None = None) -> Selection:
    """Return what would have been published, and what validation chose.

    Args:
        emulation: The test scores of the trials of a study.
        decimals: Digits to which test scores are rounded before they are compared; of equals the first trial is
            taken, as the released harness of MMRec does with 4.

    Raises:
        ArtefactError: It holds no trial.
    """
    facts = emulation.manifest
    metric, trials = facts["select_by"], facts["trials"]
    if not trials:
        raise ArtefactError(f"{emulation.folder}: holds no complete trial")
    sign = -1 if lower_is_better([metric]) else 1

    def on_test(trial: Mapping[str, Any]) -> float:
        value = sign * float(trial["test"][metric])
        return value if decimals is None else round(value, decimals)

    chosen = next(trial for trial in trials if trial["trial"] == facts["best"]["trial"])
    best = max(trials, key=lambda trial: (on_test(trial), -trial["trial"]))
    users = emulation.users()
    ends = _interval(users, chosen["trial"], best["trial"], sign)
    n_users = users.loc[users["trial"] == chosen["trial"], "user_id"].nunique()
    return Selection(facts, metric, len(trials), n_users, chosen, best, ends, decimals)


def legacy_table(selections: Sequence[Selection]) -> Table:
    """Return one line a study."""

    def cells(found: Selection) -> tuple[str, ...]:
        chosen, best = found.scores
        ends = ABSENT if found.interval is None else f"[{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
        relative = f"{found.bias / abs(chosen):+.1%}" if chosen else ABSENT
        return (
            found.facts["model"], found.facts["dataset"], str(found.n_trials),
            f"{found.chosen['trial']}: {found.chosen['valid']:.4f}", f"{chosen:.4f}",
            f"{found.best['trial']}: {found.best['valid']:.4f}", f"{best:.4f}", f"{found.bias:+.4f}", relative, ends,
        )  # fmt: skip

    metrics = ", ".join(dict.fromkeys(found.metric for found in selections))
    rounding = selections[0].decimals
    how = "unrounded" if rounding is None else f"rounded to {rounding} decimals, of equals the first"
    note = (
        f"{metrics}, one training (n = 1 seed) a trial, complete trials alone. Left: the trial that validation chose. "
        f"Right: the one that is best on test, {how}: what would have been published. Difference, with a {LEVEL:.0%} "
        f"interval over users, paired, for these two trials; that one was picked by this very score is the "
        f"bias. {WORDS}"
    )
    header = (
        "model", "data set", "trials", "by validation: valid", "its test", "best on test: valid", "its test",
        "difference", "relative", f"{LEVEL:.0%} interval",
    )  # fmt: skip
    return Table("Chosen on validation, and chosen on test", note, header, tuple(map(cells, selections)))


def legacy_file(selections: Sequence[Selection]) -> LegacyFile:
    """Return the same unrounded, one line a study."""
    return LegacyFile(lines=tuple(_line(found) for found in selections))


def _line(found: Selection) -> LegacyLine:
    facts, (chosen, best), (low, high) = found.facts, found.scores, found.interval or (None, None)
    prints = facts["fingerprints"]
    return LegacyLine(
        **{key: facts[key] for key in ("task", "dataset", "protocol_id", "model", "study")},
        weights_code=prints["weights_code"],
        code=prints["code"],
        metric=found.metric,
        n_trials=found.n_trials,
        n_users=found.n_users,
        chosen_trial=found.chosen["trial"],
        chosen_valid=found.chosen["valid"],
        chosen_test=chosen,
        best_trial=found.best["trial"],
        best_valid=found.best["valid"],
        best_test=best,
        bias=found.bias,
        bias_low=low,
        bias_high=high,
        decimals=found.decimals,
    )


def legacy_frame(selections: Sequence[Selection]) -> pd.DataFrame:
    """Return the same as a table; columns: the fields of `LegacyLine`."""
    lines = [line.model_dump() for line in legacy_file(selections).lines]
    return pd.DataFrame(lines, columns=list(LegacyLine.model_fields))


def _interval(users: pd.DataFrame, chosen: int, best: int, sign: int) -> tuple[float, float] | None:
    if chosen == best:
        return None
    one, other = (linearised(users[users["trial"] == trial], "score") for trial in (best, chosen))
    return over_users(sign * (one[1] - other[1])) if one[0].equals(other[0]) else None
