"""Sections of the YAML of an experiment: its data, its inputs, and the protocol of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import PlainValidator, SerializeAsAny, ValidationInfo

import mmrec_bench.data.folds
import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.data.alterations import ALTERATIONS, Alteration, modalities_left
from mmrec_bench.data.recipes import RecipeField
from mmrec_bench.evaluation.ctr_protocol import CtrProtocol
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import ProtocolConfig, RetrievalProtocol
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.click_log import ClickLogConfig
from mmrec_bench.experiments.features.config import Inputs
from mmrec_bench.experiments.features.extract_config import ExtractedTables
from mmrec_bench.experiments.schema.base import BaseRef
from mmrec_bench.experiments.schema.candidates import CandidatesConfig
from mmrec_bench.experiments.schema.start import StartConfig
from mmrec_bench.models.base import MODELS, ModelConfig, ModelEntry
from mmrec_bench.settings import explained_error, named
from mmrec_bench.types import Task

AlterationField = Annotated[
    SerializeAsAny[Alteration], PlainValidator(named(lambda: ALTERATIONS, Alteration, lambda entry: entry))
]
"""A change of features, resolved by the registry from ``{name: ..., modality: ..., ...}``."""


PROTOCOLS: Mapping[Task, type[ProtocolConfig]] = {
    "retrieval": RetrievalProtocol,
    "ranking": RankingProtocol,
    "ctr": CtrProtocol,
    "interactive": InteractiveProtocol,
}
"""Class of the section ``protocol`` by the task of the model."""


def entry_of(model: object) -> ModelEntry | None:
    """Return the registry's entry of the section ``model`` of a YAML, if it names one."""
    name = model.get("name") if isinstance(model, Mapping) else model
    return MODELS[name] if isinstance(name, str) and name in MODELS else None


def _protocol(value: object, info: ValidationInfo) -> ProtocolConfig:
    """Read a protocol of the task of the model, which is read before."""
    if isinstance(value, ProtocolConfig):
        return value
    model = info.data.get("model")
    if isinstance(model, ModelConfig):
        task = MODELS[model.name].task
    else:  # an issue of its own; whatever else is wrong is still to be found
        keys = set(value) if isinstance(value, Mapping) else set()
        task = min(PROTOCOLS, key=lambda name: len(keys - set(PROTOCOLS[name].model_fields)))
    if task not in PROTOCOLS:
        raise explained_error(f"there is no protocol for the task '{task}' yet")
    return PROTOCOLS[task].model_validate(value)


ProtocolField = Annotated[SerializeAsAny[ProtocolConfig], PlainValidator(_protocol)]


class DatasetRef(ExtractedTables):
    """Which data."""

    alter: tuple[AlterationField, ...] = ()
    """Changes of the features, one after the other, to learn what a model makes of them."""
    clicks: ClickLogConfig | None = None
    """How training lists are shown and clicked, simulated from their labels; of the ranking task alone."""

    impressions: RecipeField | None = None
    """How impressions with a label are made of the data, such as ``{name: rated, threshold: 4}``; of the CTR task
    alone, which needs it."""

    @property
    def given(self) -> tuple[str, ...]:
        """The modalities a model sees."""
        return modalities_left(super().given, self.alter)


class ExperimentInputs(Inputs):
    """What other commands make, and what other models find."""

    candidates: CandidatesConfig | None = None
    """Where the lists come from that a ranker puts in order; without it the data set gives lists."""
    start: StartConfig | None = None
    """Weights that a CTR model is trained on from: the folder of a run, or the YAML of an experiment (or its model and
    trainer), which is run first on the same data and split."""
    base: BaseRef | None = None
    """The retrieval model around which an interactive system works: the path of an experiment or of a run folder, or
    the sections of an experiment."""
