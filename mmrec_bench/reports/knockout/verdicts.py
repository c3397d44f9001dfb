"""Whether a model uses a modality: runs on real features against runs on altered ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mmrec_bench.data.alterations import ALTERATIONS, Alteration, modalities_left
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.knockout import REAL, label_of, tampered
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.needs import Needs
from mmrec_bench.reports.collect import Row, TableKey, table_key
from mmrec_bench.reports.user_scores import user_scores
from mmrec_bench.statistics.contrast import Contrast, contrast, largest_null_difference

Answer: TypeAlias = Literal["yes", "no", "unclear"]

NULL = "real, other seeds"
"""Label of the null row: what two groups of runs differ by that differ in nothing but the seed."""


@dataclass(frozen=True, slots=True)
class Knockout:
    """One experiment on real and on altered features.

    Attributes:
        key: What its numbers may be compared with.
        label: Name of the model's row.
        modalities: Modalities of the real features, sorted.
        rows: Runs of each variant; `REAL` and `NULL` first, where there are any.
        contrasts: By label, real minus variant in the test metric that chose the weights.
        null: Largest difference of halves of all real runs; None with a single one.
        refusals: By label, why the model cannot do without.
    """

    key: TableKey
    label: str
    modalities: tuple[str, ...]
    rows: Mapping[str, Row]
    contrasts: Mapping[str, Contrast]
    null: float | None
    refusals: Mapping[str, str]

    @property
    def tested(self) -> tuple[str, ...]:
        """The modalities that were shuffled, and so have a verdict."""
        return tuple(name for name in self.modalities if f"{name} shuffled" in self.rows)

    @property
    def real(self) -> float | None:
        """Mean test score on real features; None where no real run is there."""
        found = self.rows[REAL].metric("test", self.key.select_by) if REAL in self.rows else None
        return None if found is None else found.mean

    def verdict(self, modality: str, margin: float) -> tuple[Answer, str]:
        """Return whether the model uses a modality, and why; see `judge`."""
        found = self.contrasts.get(f"{modality} shuffled")
        if found is None or self.real is None:
            return "unclear", "runs on real and on shuffled features are not both there"
        return judge(found, self.null, self.real, margin)


def judge(found: Contrast, null: float | None, real: float, margin: float) -> tuple[Answer, str]:
    """Return the verdict on one modality, and the reason.

    ``yes``: the interval lies above zero, and the difference exceeds every difference of halves of real runs. ``no``:
    the whole interval lies within the margin. Otherwise ``unclear``; absence of evidence is no ``no``.

    Args:
        found: Real minus shuffled.
        null: Largest difference of halves of real runs.
        real: Mean score on real features.
        margin: Share of it within which a difference counts as none.
    """
    if found.low is None or found.high is None or null is None:
        return "unclear", "the spread over seeds needs at least two seeds"
    bound = margin * real
    within = -bound <= found.low and found.high <= bound
    limits = f"{margin:.0%} of the real score (± {bound:.4f})"
    if found.low > 0 and found.difference > null:
        little = f", though less than {limits}" if within else ""
        return "yes", f"the interval lies above zero, and no halves of real runs differ as much ({null:.4f}){little}"
    if within:
        return "no", f"the interval lies within {limits}"
    if found.low > 0:
        return "unclear", f"halves of real runs differ as much ({null:.4f})"
    if found.high < 0:
        return "unclear", "the model does better on shuffled features"
    return "unclear", f"the interval holds zero, and reaches beyond {limits}"


def knockouts_of(runs: Sequence[tuple[str | None, RunArtefact]]) -> list[Knockout]:
    """Group runs by their experiment without alterations, and keep the groups in which something is altered.

    Real runs of seeds that no altered run has are the null row.
    """
    families: dict[tuple[TableKey, str], list[RunArtefact]] = {}
    labels: dict[tuple[TableKey, str], str] = {}
    for label, run in runs:
        altered = run.manifest.get("altered")
        family = table_key(run), altered["unaltered"] if altered else run.manifest["fingerprints"]["config"]
        families.setdefault(family, []).append(run)
        if label and not altered:
            labels.setdefault(family, label)
    return [
        _knockout(*family, labels.get(family, members[0].manifest["model"]), members)
        for family, members in families.items()
        if any(run.manifest.get("altered") for run in members)
    ]


def _knockout(key: TableKey, unaltered: str, label: str, members: Sequence[RunArtefact]) -> Knockout:
    modalities = _modalities(members)
    rows = {
        name: Row(name, key, unaltered, tuple(run.manifest["seed"] for run in runs), tuple(runs))
        for name, runs in _variants(members, modalities).items()
    }
    scores = user_scores(rows, key.select_by)
    contrasts = {name: contrast(scores[REAL], scores[name]) for name in rows if REAL in rows and name != REAL}
    real = np.concatenate([scores[name].mean(axis=1) for name in (REAL, NULL) if name in rows] or [np.empty(0)])
    null = largest_null_difference(real) if len(real) > 1 else None
    facts = members[0].manifest
    model, parts = facts["model"], facts.get("parts", [facts["model"]])
    needs = Needs.of((MODELS[part] for part in parts if part in MODELS), facts.get("tables", ()))
    made = _made(members)
    lacking = {
        name: ", ".join(needs.lacking((*modalities_left(modalities, changes), *made)))
        for name, changes in tampered(modalities).items()
    }
    refusals = {name: f"{model} needs {what}" for name, what in lacking.items() if what}
    return Knockout(key, label, modalities, rows, contrasts, null, refusals)


def _modalities(members: Sequence[RunArtefact]) -> tuple[str, ...]:
    """Return the modalities before anything was altered, sorted; made features are none."""
    given = {modality for run in members for modality in run.manifest["fingerprints"]["features"]}
    return tuple(sorted(given - _made(members) | {change.modality for run in members for change in _alterations(run)}))


def _made(members: Sequence[RunArtefact]) -> set[str]:
    """Return the names of features that are made of modalities, and altered with these."""
    inputs = (made for run in members for made in run.manifest.get("inputs", ()))
    return {made["name"] for made in inputs if made["kind"] == "features"}


def _variants(members: Sequence[RunArtefact], modalities: Sequence[str]) -> dict[str, list[RunArtefact]]:
    """Return runs by variant, each by seed: real, null, then in the order of the plan, then whatever else."""
    base = {run.manifest["seed"] for run in members if _alterations(run)}
    found: dict[str, list[RunArtefact]] = {}
    for run in sorted(members, key=lambda run: int(run.manifest["seed"])):
        changes = _alterations(run)
        label = label_of(changes, modalities) if changes or run.manifest["seed"] in base else NULL
        found.setdefault(label, []).append(run)
    if NULL in found and REAL not in found:  # no seed in common
        found[REAL] = found.pop(NULL)
    order = [REAL, NULL, *tampered(modalities)]
    return {label: found[label] for label in [*order, *sorted(set(found) - set(order))] if label in found}


def _alterations(run: RunArtefact) -> list[Alteration]:
    altered = run.manifest.get("altered")
    return [ALTERATIONS[facts["name"]].model_validate(facts) for facts in altered["alterations"]] if altered else []
