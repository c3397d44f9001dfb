"""Which sections of an experiment its model reads: no key may stand there that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmrec_bench.models.ranking.base import RankerConfig

if TYPE_CHECKING:
    from mmrec_bench.experiments.schema.experiment import ExperimentConfig


def refused_sections(config: ExperimentConfig) -> Iterator[str]:
    """Yield, in words, every section that the model does not read, or lacks."""
    entry = config.entry
    if entry.closed_form and config.trainer is not None:
        yield f"model '{entry.name}' is fitted in closed form, so the section 'trainer' would do nothing; remove it"
    if entry.task != "retrieval" and config.retriever is not None:
        yield f"model '{entry.name}' retrieves nothing, so the section 'retriever' would do nothing; remove it"
    if entry.task != "ctr" and config.trainer is not None and config.trainer.order != "random":
        yield f"trainer.order: {config.trainer.order} is for models of the task ctr; remove it for '{entry.name}'"
    if config.inputs.start is not None and (entry.task != "ctr" or entry.closed_form):
        yield f"model '{entry.name}' goes on from no weights; remove inputs.start"
    yield from _impressions(config)
    yield from _candidates(config)
    yield from _clicks(config)
    yield from _base(config)


def _impressions(config: ExperimentConfig) -> Iterator[str]:
    entry, given = config.entry, config.dataset.impressions is not None
    if entry.task == "ctr" and not given:
        yield (
            f"model '{entry.name}' needs dataset.impressions, which says how impressions are made, such as "
            "{name: rated, threshold: 4}, {name: sampled, n: 4} or shown"
        )
    if entry.task != "ctr" and given:
        yield f"model '{entry.name}' predicts no clicks, so dataset.impressions would do nothing; remove it"


def _candidates(config: ExperimentConfig) -> Iterator[str]:
    if config.inputs.candidates is None:
        return
    if config.entry.task != "ranking":
        yield f"model '{config.entry.name}' ranks no given lists; remove inputs.candidates"
    if config.dataset.clicks is not None:
        yield (
            "dataset.clicks simulates clicks on lists of the data set; candidates of a first stage are learned "
            "from their labels. Remove one of dataset.clicks and inputs.candidates"
        )


def _clicks(config: ExperimentConfig) -> Iterator[str]:
    entry = config.entry
    if config.dataset.clicks is None:
        return
    if entry.task != "ranking":
        yield f"model '{entry.name}' learns from interactions, so dataset.clicks would do nothing; remove it"
    elif not isinstance(config.model, RankerConfig):
        yield f"model '{entry.name}' learns nothing from lists, so dataset.clicks would do nothing; remove it"
    elif config.model.learns_from != "clicks":
        yield (
            f"model '{entry.name}' learns from {config.model.learns_from} and would read none of the clicks of "
            "dataset.clicks; set model.learns_from: clicks, or remove dataset.clicks"
        )


def _base(config: ExperimentConfig) -> Iterator[str]:
    entry, base = config.entry, config.inputs.base
    if entry.task == "interactive" and base is None:
        yield (
            f"model '{entry.name}' works around a retrieval model; name it under inputs.base: the path of an "
            "experiment or of a run folder, or {model: {name: lightgcn}, trainer: {...}}"
        )
    if entry.task != "interactive" and base is not None:
        yield f"model '{entry.name}' holds no sessions, so inputs.base would do nothing; remove it"
