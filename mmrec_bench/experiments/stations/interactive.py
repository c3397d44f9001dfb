"""The interactive task: sessions of several rounds with simulated users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lexicon import Lexicon
from mmrec_bench.data.online_users import OnlineUsers
from mmrec_bench.data.rules import TRAIN
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.sessions import InteractiveEvaluation, InteractiveEvaluator, SessionMeasures
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.candidates import restored
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.stations.base import VAULT_PURPOSE, Judgement, built, part_column
from mmrec_bench.experiments.stations.transcripts import KINDS, Transcripts
from mmrec_bench.models.interactive.base import InteractiveContext, InteractiveSystem
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.types import BoolArray


class InteractiveStation:
    """Builds, validates and judges interactive systems; see `Station`.

    Args:
        experiment: What to run.
        prepared: Its data, and the finished run of the base.
        device: Where systems live.
    """

    def __init__(self, experiment: Experiment, prepared: Prepared, device: torch.device) -> None:
        self._experiment, self._prepared, self._device = experiment, prepared, device
        protocol = experiment.config.protocol
        assert isinstance(protocol, InteractiveProtocol)
        assert prepared.lexicon is not None
        assert prepared.first_stage is not None
        assert prepared.first_run is not None  # it is made before
        self._protocol: InteractiveProtocol = protocol
        self._lexicon: Lexicon = prepared.lexicon
        self._base = restored(prepared.first_stage, prepared.first_run, device).export()
        self._valid = self._evaluator(prepared.split.valid)

    def build(self, seed: int) -> tuple[InteractiveSystem, InteractiveContext]:
        """Return the untrained system on its device, and the context it was built from."""
        config, seeds = self._experiment.config, Seeds(seed)
        train: Interactions = self._prepared.split.train
        batch_size = (config.trainer or TrainerConfig()).batch_size
        offline = train.select(self._offline()[train.users])
        context = InteractiveContext(offline, self._lexicon, self._base, self._prepared.ties, seeds, batch_size)
        return built(config.model, context, seeds, InteractiveSystem, self._device), context

    def validate(self, model: InteractiveSystem) -> Validation:
        """Hold sessions with the users of the validation part."""
        evaluation = self._valid.evaluate(model)
        return Validation(evaluation.means[self._protocol.select_by], evaluation.means)

    def judge(self, model: InteractiveSystem, ledger: VaultLedger) -> Judgement:
        """Hold sessions with the users of both held-out parts."""
        test = self._evaluator(self._prepared.split.test.open(VAULT_PURPOSE, ledger))
        parts = {"valid": (self._valid, self._valid.evaluate(model)), "test": (test, test.evaluate(model))}
        return Judgement(
            metrics={**{part: write.finite(found.means) for part, (_, found) in parts.items()}, "test_slices": {}},
            per_user=per_session({part: found for part, (_, found) in parts.items()}, self._prepared),
            rankings=self._transcripts(parts),
            facts={
                "sessions": {part: _facts(evaluator, found) for part, (evaluator, found) in parts.items()},
                "lexicon": {
                    "words": len(self._lexicon.vocabulary),
                    "compound_queries": self._lexicon.queries.n_items,
                    "notes": list(self._lexicon.notes),
                },
            },
        )

    def _offline(self) -> BoolArray:
        """Return which users never come online, bool ``[n_users]``; weights learn from no others."""
        rule = self._protocol.split
        assert isinstance(rule, OnlineUsers)
        offline: BoolArray = rule.parts_of_users(self._prepared.dataset.payload) == TRAIN
        return offline

    def _evaluator(self, truth: Interactions) -> InteractiveEvaluator:
        return InteractiveEvaluator(self._protocol, self._prepared.split.train, truth, self._device)

    def _transcripts(self, parts: Mapping[str, tuple[InteractiveEvaluator, InteractiveEvaluation]]) -> pd.DataFrame:
        writer, tables = Transcripts(self._prepared.dataset, self._lexicon), []
        for part, (evaluator, found) in parts.items():
            table = writer.table(found, evaluator)
            column = part_column(part, parts, len(table))
            tables.append(pd.concat([pd.Series(column, name="part"), table], axis=1))
        return pd.concat(tables, ignore_index=True)


def per_session(parts: Mapping[str, SessionMeasures], prepared: Prepared) -> pd.DataFrame:
    """Return ``per_user.parquet``: a row a session and part."""
    frames = []
    for part, found in parts.items():
        columns = {
            "part": part_column(part, parts, len(found.users)),
            "session": found.numbers,
            "user_id": prepared.dataset.user_ids[found.users],
            "n_truth": found.n_wanted,
            "found": found.courses.found,
            "left": found.courses.left,
            **found.per_session,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _facts(evaluator: InteractiveEvaluator, found: InteractiveEvaluation) -> dict[str, Any]:
    """Return what the manifest says of the sessions of a part."""
    kinds = np.bincount(found.transcript.kind, minlength=len(KINDS))
    return {
        "held": len(found.users),
        "without_wanted": evaluator.n_without_wanted,
        "wanted_per_session": float(found.n_wanted.mean()),
        "candidates_per_session": float(found.courses.n_candidates.mean()),
        "shown": dict(zip(KINDS, kinds.tolist(), strict=True)),
        "clicked_queries": found.n_clicked_queries,
        "violations": found.n_violations,
        "curve": found.curve,
    }
