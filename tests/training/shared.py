"""Every registered model trained by the processes that share its batches; run as a program by each of them.

``python -m tests.training.shared OUT [NAME ...]`` writes, for each model, what became of it, and is told by WORLD_SIZE
and RANK whether it is one of several.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

import mmrec_bench.models  # noqa: F401 - fills the registry
from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.models.base import MODELS, ClosedForm
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.ctr_subjects import build_ctr, tiny_ctr_context
from mmrec_bench.testing.interactive_subjects import build_interactive, tiny_interactive_context
from mmrec_bench.testing.subjects import Subject, every_subject
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.training.workers import ALONE, Group, Workers
from tests.models.ranking.worlds import odd_context

CPU = torch.device("cpu")
MINUTE = timedelta(minutes=1)

Case = tuple[Callable[[], tuple[Any, Any]], int]
"""What builds model and context, and the size of a batch."""


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every gradient model of the registry with its tiny world; the last batch of an epoch is short."""
    for preset in ("clean", "released"):
        for subject in every_subject(preset):
            if not issubclass(subject.entry.model, ClosedForm):
                yield str(subject), (lambda s=subject: (s.build(c := s.context(5)), c), 15)
    for name in MODELS:
        entry = MODELS[name]
        if issubclass(entry.model, ClosedForm):
            continue
        for options in VARIANTS.get(name, ({},)):
            subject = Subject(entry, options)
            label = "-".join((name, *map(str, options.values())))
            if entry.task == "ranking":
                yield label, (lambda s=subject: _ranker(s), 3)
            elif entry.task == "ctr":
                yield label, (lambda s=subject: (build_ctr(s, c := tiny_ctr_context(5)), c), 13)
            elif entry.task == "interactive":
                yield label, (lambda s=subject: (build_interactive(s, c := tiny_interactive_context(5)), c), 9)


VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "mlp": tuple({"loss": loss} for loss in ("pointwise", "softmax", "listmle", "lambdarank")),
    "inforank": ({}, {"observation": "bias+context", "cmi": "batch"}),
    "din-ctr": ({}, {"dropout": 0.3}),
    "starank": ({}, {"dropout": 0.3}, {"ties": "marginal", "per_step": True}),
}
"""Settings beside the defaults of a model, for losses and draws that these do not reach."""


def _ranker(subject: Subject) -> tuple[Any, Any]:
    context = odd_context(5)
    context.seeds.seed_global("contract-init")
    return subject.entry.build(subject.config(), context), context


def trained(case: Case, workers: Workers, **settings: Any) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Return state and losses after three epochs of plain gradient steps."""
    make, batch_size = case
    model, context = make()
    plain = {"optimizer": "sgd", "learning_rate": 0.05, "max_epochs": 3, "batch_size": batch_size, "validate_every": 3}
    config = TrainerConfig(**(plain | settings))
    result = train(model, context, config, lambda _: Validation(0.0, {}), Seeds(5), CPU, workers=workers)
    losses = [value for record in result.history for value in record.terms.values()]
    return {name: value.double() for name, value in model.state_dict().items()}, losses


def main() -> None:
    """Train the cases named, or all, and write states, losses or refusals."""
    out, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    torch.set_num_threads(1)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    workers = Group(rank, size, CPU, MINUTE, MINUTE) if size > 1 else ALONE
    found: dict[str, Any] = {}
    for name, case in cases():
        if wanted and name not in wanted:
            continue
        try:
            state, losses = trained(case, workers)
            found[name] = {"losses": losses, "state": {key: value.flatten().tolist() for key, value in state.items()}}
        except MMRecBenchError as error:
            found[name] = {"refused": str(error)}
    (out / f"{size}-{rank}.json").write_text(json.dumps(found))
    workers.close()


if __name__ == "__main__":
    main()
