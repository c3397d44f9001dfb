"""How much memory a task will want, before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.environment import MIB
from mmrec_bench.experiments.executors.task import Task
from mmrec_bench.experiments.folders import MANIFEST, read_json

PROCESS_MIB = 1200.0
"""A worker with its libraries and an embedded world: runs of the quick suite were measured to take 530 to 1,120."""

MARGIN = 1.1
"""Peaks that were measured differ from run to run by less."""

STATE_BYTES = 32
"""For each weight: itself, its gradient, two moments, the best copy, an exported one, and what a step needs."""

ROW_BYTES = 400
"""For each interaction: columns, keys, the matrix, a graph both ways, a batch, and a row of what is written."""

TABLE_COPIES = 4
"""Of each feature table: as read, as a tensor, projected, and with the graph made of it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Memory that a task is expected to want.

    Attributes:
        mib: How much, of the whole worker.
        source: Where the figure comes from, for people.
    """

    mib: float
    source: str

    def __str__(self) -> str:
        return f"{self.mib:,.0f} MiB ({self.source})"


def expected(task: Task, out: Path, declared: int | None = None) -> Expected:
    """Return what is declared, or what the same was measured to take, or a careful figure made of the data.

    Args:
        task: What will run.
        out: Root of all artefacts, whose manifests are looked at.
        declared: MiB that the user declared for every run.
    """
    if declared is not None:
        return Expected(float(declared), "declared")
    folder = task.key.folder(out)
    near = (
        (folder.parent, "*", "measured with the same settings"),
        (folder.parent.parent, "*/*", "measured with other settings of this model"),
    )
    for root, pattern, source in near if task.features is None else near[:1]:
        if peaks := list(_peaks(root.glob(f"{pattern}/{MANIFEST}"))):
            return Expected(MARGIN * max(peaks), source)
    return Expected(_estimate(task), "estimated from data and settings")


def _peaks(manifests: Iterable[Path]) -> Iterable[float]:
    for path in manifests:
        try:
            peak = read_json(path).get("peak_memory_mib")
        except ArtefactError:
            continue  # whoever reads the run itself says what is wrong with it
        if isinstance(peak, (int, float)):
            yield float(peak)


def _estimate(task: Task) -> float:
    """Return a figure that errs on the large side; of features that are made, too, for their tables are the same."""
    dataset = task.prepared.dataset
    payload = dataset.payload
    n_users, n_items = len(dataset.user_ids), payload.n_items
    tables = sum(table.values.nbytes for table in dataset.features.values())
    wanted = TABLE_COPIES * tables + ROW_BYTES * len(payload)
    if task.experiment is not None:
        config = task.experiment.config
        dims = [getattr(part, "embedding_dim", 0) for part in config.parts]
        wanted += STATE_BYTES * (n_users + n_items) * max([64, *dims])
        if config.retriever is not None:
            per_user = 32 * n_items  # what dense back-ends count; a block never takes more than it was given
            wanted += min(config.retriever.memory_mib * MIB, n_users * per_user)
        if config.entry.closed_form:
            wanted += 3 * 8 * n_items**2  # a matrix of items by items, its inverse, and one between
    return PROCESS_MIB + wanted / MIB
