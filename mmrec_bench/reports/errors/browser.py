"""The users whom two models serve most differently: what they had, what they wanted, and what they were shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.reports.errors.items import ItemViews
from mmrec_bench.reports.errors.pages import fragment, markdown, page
from mmrec_bench.reports.errors.users import Lists, Part, UserView
from mmrec_bench.reports.files import write_all
from mmrec_bench.statistics.scores import user_differences
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class ErrorBrowser:
    """Two runs, side by side.

    Attributes:
        labels: Names of the two runs.
        dataset: Name of the data set.
        protocol_id: What the numbers mean.
        part: The part of the split that is looked at.
        metric: By what users are chosen.
        means: Mean of the metric in both runs.
        shares: Shares of users whom the first serves better, whom both serve alike, whom the first serves worse.
        n_users: How many there are.
        unit: What is counted: users, or lists where lists are ranked.
        better: Users whom the first run serves better, by falling difference.
        worse: Users whom it serves worse, by falling difference.
        items: What is shown of items.
        notes: What a reader must know, one sentence each.
        command: The command that makes it again.
    """

    labels: tuple[str, str]
    dataset: str
    protocol_id: str
    part: Part
    metric: str
    means: tuple[float, float]
    shares: tuple[float, float, float]
    n_users: int
    unit: str
    better: tuple[UserView, ...]
    worse: tuple[UserView, ...]
    items: ItemViews
    notes: tuple[str, ...]
    command: str

    @property
    def title(self) -> str:
        """Heading."""
        return f"{self.dataset}: {self.labels[0]} beside {self.labels[1]}"

    def html(self) -> str:
        """Return a part of a page, with a style of its own and nothing from elsewhere; all text is escaped."""
        return fragment(self)

    def page(self) -> str:
        """Return a whole page."""
        return page(self)

    def markdown(self) -> str:
        """Return the same as Markdown, without pictures."""
        return markdown(self)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write ``errors.html`` and ``errors.md`` and return their paths.

        Raises:
            ResourceError: The folder cannot be written.
        """
        return write_all(folder, {"errors.html": self.page(), "errors.md": self.markdown()})


def browse_errors(
    first: RunArtefact,
    second: RunArtefact,
    items: ItemViews,
    *,
    n_users: int = 20,
    metric: str | None = None,
    part: Part = "valid",
    command: str = "",
) -> ErrorBrowser:
    """Choose the users that two runs serve most differently, half of them each way.

    Users of equal differences are taken in the order of their ids.

    Args:
        first: A run of retrieval or ranking.
        second: Another one, of the same protocol, data and split.
        items: What is shown of items.
        n_users: How many, at most.
        metric: A metric of single users; that of selection by default.
        part: The part of the split.
        command: The command that makes it again.

    Raises:
        ArtefactError: The runs are the same, cannot be compared, or have no such metric.
    """
    _check_pair(first, second)
    metric = metric or str(first.manifest["select_by"])
    ranked = first.manifest["task"] == "ranking"
    keys = ["list", "user_id"] if ranked else ["user_id"]
    tables = [_scores(run, metric, part, keys) for run in (first, second)]
    if not tables[0].index.equals(tables[1].index):
        raise ArtefactError(f"{second.folder}: was judged on other users than {first.folder}")
    values: list[DoubleArray] = [np.asarray(table, np.float64) for table in tables]
    sign = -1.0 if lower_is_better([metric]) else 1.0
    differences = sign * user_differences(values[0][None], values[1][None])
    half = max(n_users // 2, 1)
    better = [int(place) for place in np.argsort(-differences, kind="stable")[:half] if differences[place] > 0]
    worse = [int(place) for place in np.argsort(differences, kind="stable")[:half] if differences[place] < 0]
    made = Lists.of((first, second), part, keys, metric, items)
    views = {
        place: made.view(tables[0].index[place], (float(values[0][place]), float(values[1][place])))
        for place in (*better, *worse)
    }
    counts = [(differences > 0).mean(), (differences == 0).mean(), (differences < 0).mean()]
    return ErrorBrowser(
        labels=_labels(first, second),
        dataset=str(first.manifest["dataset"]),
        protocol_id=str(first.manifest["protocol_id"]),
        part=part,
        metric=metric,
        means=(float(values[0].mean()), float(values[1].mean())),
        shares=(float(counts[0]), float(counts[1]), float(counts[2])),
        n_users=len(differences),
        unit="lists" if ranked else "users",
        better=tuple(views[place] for place in better),
        worse=tuple(views[place] for place in worse),
        items=items,
        notes=(*_looked_at(part), *items.notes),
        command=command,
    )


def _check_pair(first: RunArtefact, second: RunArtefact) -> None:
    if first.folder.resolve() == second.folder.resolve():
        raise ArtefactError(f"{first.folder}: is named twice; name two runs")
    for run in (first, second):
        if (task := run.manifest["task"]) not in ("retrieval", "ranking"):
            more = "; `mmrec-bench sessions` tells of sessions" if task == "interactive" else ""
            raise ArtefactError(f"{run.folder}: is of the task {task}; errors are shown of retrieval and ranking{more}")
        if run.manifest.get("leak"):
            raise ArtefactError(f"{run.folder}: was made with data from behind the cut, and is compared with nothing")
    facts = [
        {name: run.manifest[name] for name in ("task", "dataset", "protocol_id")}
        | {name: run.manifest["fingerprints"].get(name) for name in ("data", "split")}
        for run in (first, second)
    ]
    if differing := [name for name in facts[0] if facts[0][name] != facts[1][name]]:
        told = "; ".join(f"{name} {facts[0][name]} and {facts[1][name]}" for name in differing)
        raise ArtefactError(
            f"{first.folder} and {second.folder} cannot be compared user by user: they differ in {told}"
        )


def _scores(run: RunArtefact, metric: str, part: Part, keys: Sequence[str]) -> pd.Series[float]:
    """Return the metric of each user, or list, of a part, sorted by its key; those that do not count are left out."""
    table = run.per_user()
    if metric not in table or metric in keys:
        known = ", ".join(name for name in run.metrics[part] if name in table)
        raise ArtefactError(f"{run.folder}: has no scores of single users in '{metric}'; it has: {known}")
    table = table[(table["part"] == part) & table[metric].notna()]
    return table.set_index(list(keys))[metric].sort_index()


def _labels(first: RunArtefact, second: RunArtefact) -> tuple[str, str]:
    names = [f"{run.manifest['model']} (seed {run.manifest['seed']})" for run in (first, second)]
    if names[0] == names[1]:
        names = [
            f"{name} [{run.manifest['fingerprints']['config'][:6]}]"
            for name, run in zip(names, (first, second), strict=True)
        ]
    return names[0], names[1]


def _looked_at(part: Part) -> tuple[str, ...]:
    if part == "valid":
        return ("Users of the validation part: nothing of the test part was read.",)
    return ("Users of the test part: whoever changes a model after seeing them has selected on test.",)
