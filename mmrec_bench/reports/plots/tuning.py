"""How good the best trial so far was, study by study."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.reports.plots.base import Plot, draw, file_stem
from mmrec_bench.reports.plots.curves import Curve, curves_chart


class Group(NamedTuple):
    """What studies share that may stand in one picture.

    Attributes:
        task: Task of the model.
        dataset: Name of the data set.
        protocol_id: What scores mean.
        select_by: The validation metric.
        data: Fingerprint of the data.
        split: Fingerprint of the split.
    """

    task: str
    dataset: str
    protocol_id: str
    select_by: str
    data: str
    split: str


def study_groups(studies: Sequence[StudyArtefact]) -> dict[Group, list[StudyArtefact]]:
    """Return studies by what they must share to be compared, best score first."""
    groups: dict[Group, list[StudyArtefact]] = {}
    for study in studies:
        facts, prints = study.manifest, study.manifest["fingerprints"]
        group = Group(
            facts["task"], facts["dataset"], facts["protocol_id"], facts["select_by"], prints["data"], prints["split"]
        )
        groups.setdefault(group, []).append(study)
    return {
        group: sorted(members, key=lambda study: (-study.manifest["best"]["score"], str(study.folder)))
        for group, members in groups.items()
    }


def study_labels(studies: Sequence[StudyArtefact]) -> list[str]:
    """Return the name of each study of a group: its model, and its fingerprint where a model has several."""
    counts = Counter(study.manifest["model"] for study in studies)
    return [
        model if counts[model] == 1 else f"{model} [{study.manifest['fingerprints']['study'][:6]}]"
        for study in studies
        for model in [str(study.manifest["model"])]
    ]


def budgets_told(studies: Sequence[StudyArtefact]) -> str:
    """Return one sentence on what each study may spend, and whether that is the same for all."""
    budgets = dict.fromkeys(_budget(study.manifest["budget"]) for study in studies)
    if len(budgets) == 1:
        return f"Equal budgets: {next(iter(budgets))} each."
    told = "; ".join(
        f"{label} {_budget(study.manifest['budget'])}"
        for label, study in zip(study_labels(studies), studies, strict=True)
    )  # fmt: skip
    return f"Careful: budgets differ, and the curves do not compare models: {told}."


def by_trial(study: StudyArtefact) -> tuple[tuple[float, float], ...]:
    """Return the number of trials that have ended, and the best score so far."""
    best = (trial["best_so_far"] for trial in study.trials)
    return tuple((float(number + 1), score) for number, score in enumerate(best) if score is not None)


def by_seconds(study: StudyArtefact) -> tuple[tuple[float, float], ...]:
    """Return the seconds that trials have taken, and the best score so far; a score counts from its trial's end on."""
    spent, spots = 0.0, []
    for trial in study.trials:
        spent += trial["seconds"]
        if trial["best_so_far"] is not None:
            spots.append((spent, float(trial["best_so_far"])))
    return tuple(spots)


def tuning_plots(studies: Sequence[StudyArtefact]) -> list[Plot]:
    """Return best-so-far curves by trials and by seconds, of each data set and protocol."""
    return [plot for group, members in study_groups(studies).items() for plot in _plots(group, members)]


def _plots(group: Group, studies: Sequence[StudyArtefact]) -> list[Plot]:
    digest = hashlib.blake2b("/".join(group).encode(), digest_size=3).hexdigest()
    stem, metric = file_stem(f"{group.dataset}-{group.task}-{digest}"), group.select_by
    labels = study_labels(studies)
    made = []
    for name, what, curve_of, log in (
        ("trials", "trials that have ended, pruned and failed ones among them", by_trial, False),
        ("seconds", "seconds of trials", by_seconds, True),
    ):
        curves = [Curve(label, curve_of(study)) for label, study in zip(labels, studies, strict=True)]
        seeds = sorted({study.manifest["search"]["seed"] for study in studies})
        note = (
            f"Best validation {metric} so far by {what}, one study a line; a line begins at the first complete trial. "
            f"{budgets_told(studies)} One seed a study ({', '.join(map(str, seeds))}): another would draw another line."
        )
        chart = curves_chart(curves, what, f"best validation {metric} so far", steps=True, log=log)
        title = f"{group.dataset}: tuning by {name}"
        made.append(draw(f"{stem}-tuning-{name}", title, note, chart, f"protocol {group.protocol_id}"))
    return made


def _budget(budget: Mapping[str, Any]) -> str:
    parts = [f"{budget['trials']} trials"] if budget["trials"] is not None else []
    return " or ".join([*parts, *([f"{budget['seconds']:g} s"] if budget["seconds"] is not None else [])])
