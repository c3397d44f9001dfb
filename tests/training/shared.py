"""Models trained by processes that share their batches; run as a program by each of them.

``python -m tests.training.shared OUT [NAME ...]`` trains the cases named, or all, and writes what became of them;
WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT say who shares.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch

import mmrec_bench.models  # noqa: F401 - fills the registry
from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.losses import info_nce
from mmrec_bench.models.base import MODELS, ClosedForm, ModelContext, Pairs
from mmrec_bench.testing.ctr_subjects import build_ctr, tiny_ctr_context
from mmrec_bench.testing.interactive_subjects import build_interactive, tiny_interactive_context
from mmrec_bench.testing.subjects import Subject, every_subject
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import EpochRecord, SilentObserver, Validation
from mmrec_bench.training.team import ALONE, Group, Team
from mmrec_bench.training.trainer import train
from tests.models.ranking.worlds import odd_context
from tests.training.toy import ToyMF, ToyRandom, build, validate

CPU = torch.device("cpu")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Case:
    """What builds model and context, settings of the trainer, and whether training is broken off and resumed."""

    make: Callable[[], tuple[Any, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False


class OwnContrast(ToyMF):
    """A contrast among the rows of a batch that no helper knows of: another loss on half of the rows."""

    batch_kind = Pairs

    def loss(self, batch: Pairs) -> dict[str, torch.Tensor]:
        users, items = self.users[batch.users], self.items[batch.items]
        return {"contrast": torch.nn.functional.cross_entropy(users @ items.T, torch.arange(len(users)))}


class OwnDraw(OwnContrast):
    """Draws for its rows alone, and does nothing with what it has drawn."""

    def loss(self, batch: Pairs) -> dict[str, torch.Tensor]:
        torch.rand(len(batch.users))
        users, items = self.users[batch.users], self.items[batch.items]
        return {"contrast": info_nce(users, items, 0.2)}


TOYS = {"batch-norm": ToyRandom, "own-contrast": OwnContrast, "own-draw": OwnDraw}
"""Models that are not the same where a batch is shared."""


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every gradient model of the registry in its tiny world; the last batch of an epoch is short, or one row."""
    for preset in ("clean", "released"):
        for subject in every_subject(preset):
            if not issubclass(subject.entry.model, ClosedForm):
                yield str(subject), Case(lambda s=subject: (s.build(c := s.context(5)), c), {"batch_size": 13})
    for name in MODELS:
        entry = MODELS[name]
        if not issubclass(entry.model, ClosedForm):
            for options in VARIANTS.get(name, ({},)):
                if entry.task in MAKERS:
                    make, size = MAKERS[entry.task]
                    label = "-".join((name, *map(str, options.values())))
                    yield label, Case(partial(make, Subject(entry, options)), {"batch_size": size})
    for name, toy in TOYS.items():
        yield name, Case(partial(_toy, toy), {"batch_size": 13})
    mirror = {"step": {"name": "mirror-gradient", "beta": 2, "clip_norm": 0.02}}
    yield "mirrored", Case(lambda: build("mf"), {"batch_size": 13, **mirror})
    adam = {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.01, "max_epochs": 6, "validate_every": 1}
    yield "unbroken", Case(lambda: build("mf"), {**adam, "patience": 2})
    yield "resumed", Case(lambda: build("mf"), {**adam, "patience": 2, "checkpoint_seconds": 0}, interrupted=True)


VARIANTS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "mlp": tuple({"loss": loss} for loss in ("pointwise", "softmax", "listmle", "lambdarank")),
    "inforank": ({}, {"observation": "bias+context", "cmi": "batch"}),
    "din-ctr": ({}, {"dropout": 0.3}),
    "starank": ({}, {"dropout": 0.3}, {"ties": "marginal", "per_step": True}),
}
"""Settings of a model that reach other losses and draws than its defaults."""


def _ranker(subject: Subject) -> tuple[Any, Any]:
    context = odd_context(5)
    context.seeds.seed_global("contract-init")
    return subject.entry.build(subject.config(), context), context


def _toy(kind: type[ToyMF]) -> tuple[Any, ModelContext]:
    _, context = build("mf")
    return kind(context), context


MAKERS: Mapping[str, tuple[Callable[[Subject], tuple[Any, Any]], int]] = {
    "ranking": (_ranker, 3),
    "ctr": (lambda subject: (build_ctr(subject, c := tiny_ctr_context(5)), c), 13),
    "interactive": (lambda subject: (build_interactive(subject, c := tiny_interactive_context(5)), c), 9),
}
"""How models of a task are built, and the size of a batch."""


class BrokenOffError(Exception):
    pass


class BreaksOff(SilentObserver):
    def on_epoch(self, record: EpochRecord) -> None:
        if record.epoch == 3:
            raise BrokenOffError


def trained(case: Case, team: Team, folder: Path) -> dict[str, Any]:
    """Return state, terms of the losses and scores after some epochs."""
    plain = {"optimizer": "sgd", "learning_rate": 0.05, "max_epochs": 3, "validate_every": 3}
    config = TrainerConfig(**{**plain, **case.settings})
    store = CheckpointStore(folder / "checkpoint", "shared") if case.interrupted else None
    judge = validate if config.validate_every == 1 else lambda _: Validation(0.0, {})

    def one(observer: Any, resume: bool) -> dict[str, Any]:
        model, context = case.make()
        result = train(model, context, config, judge, context.seeds, CPU, store, observer, resume, team)
        return {
            "state": {name: value.double().flatten().tolist() for name, value in model.state_dict().items()},
            "losses": [value for record in result.history for value in record.terms.values()],
            "valid": [dict(record.valid) for record in result.history if record.valid is not None],
        }

    if case.interrupted:
        try:
            one(BreaksOff(), False)
        except BrokenOffError:
            return one(None, True)
    return one(None, False)


def main() -> None:
    """Train the cases named, or all, and write what became of them."""
    out, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    torch.set_num_threads(1)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    team = Group(rank, size, CPU, MINUTE, MINUTE) if size > 1 else ALONE
    found: dict[str, Any] = {}
    for name, case in cases():
        if not wanted or name in wanted:
            try:
                found[name] = trained(case, team, out)
            except MMRecBenchError as error:
                found[name] = {"refused": str(error)}
    (out / f"{size}-{rank}.json").write_text(json.dumps(found))
    team.close()


if __name__ == "__main__":
    main()
