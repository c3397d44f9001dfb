"""The experiments of the modality truth test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmrec_bench.data.alterations import Alteration, modalities_left
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.knockout import REAL, KnockoutConfig, tampered
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig
from mmrec_bench.models.base import MODELS
from mmrec_bench.settings import Document


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to tamper with the features.

    Attributes:
        label: Name of its row, such as ``image shuffled``.
        experiments: What to run. Each seed draws a permutation or noise of its own, and so has an experiment of its
            own: the spread over seeds then holds the luck of the draw. Empty where the model refuses.
        refusal: Why it is not possible, or None.
    """

    label: str
    experiments: tuple[Experiment, ...]
    refusal: str | None = None


def variants(experiment: Experiment, config: KnockoutConfig) -> list[Variant]:
    """Return the variants of an experiment: its features as they are, with twice the seeds, then each modality in turn.

    Raises:
        ConfigError: The model reads no features, or its base alone does, or they are altered already.
    """
    seeds = config.seeds or experiment.config.seeds
    needs, modalities = experiment.config.needs, experiment.config.dataset.given
    made = tuple(experiment.config.inputs.features)  # of the tables of the data set, and altered with them
    if not any(MODELS[part.name].uses_features for part in experiment.config.parts):
        raise _refused(
            experiment, f"model '{experiment.config.label}' reads no features, so that none can be knocked out"
        )
    if experiment.config.entry.task == "interactive":  # its systems read no features; only their base may
        raise _refused(
            experiment,
            f"'{experiment.config.label}' reads features by its base alone, and all seeds share one base, so that "
            "their spread would not show how much bases differ. Knock out the base: `run --knockout` of its own YAML",
        )
    if experiment.config.dataset.alter:
        raise _refused(experiment, "dataset.alter must be empty: knockouts are compared with features as they are")
    if not modalities:
        raise _refused(experiment, "the data set gives no features to knock out; name some in dataset.modalities")
    others = range(max(seeds) + 1, max(seeds) + 1 + len(seeds))
    found = [Variant(REAL, (_altered(experiment, REAL, (), (*seeds, *others)),))]
    for label, changes in tampered(modalities, config.kinds).items():
        if lacking := needs.lacking((*modalities_left(modalities, changes), *made)):
            found.append(Variant(label, (), f"needs {', '.join(lacking)}"))
        elif any("seed" in type(change).model_fields for change in changes):
            own = tuple(_altered(experiment, label, _reseeded(changes, seed), (seed,)) for seed in seeds)
            found.append(Variant(label, own))
        else:
            found.append(Variant(label, (_altered(experiment, label, changes, seeds),)))
    return found


def variants_of(experiments: Sequence[Experiment], config: KnockoutConfig) -> list[Experiment]:
    """Return all that the modality truth tests of these experiments run besides.

    Raises:
        ConfigError: As of `variants`.
    """
    return [one for experiment in experiments for item in variants(experiment, config) for one in item.experiments]


def _reseeded(changes: Sequence[Alteration], seed: int) -> tuple[Alteration, ...]:
    return tuple(
        change.model_copy(update={"seed": seed}) if "seed" in type(change).model_fields else change
        for change in changes
    )


def _altered(experiment: Experiment, label: str, alterations: Sequence[Alteration], seeds: Sequence[int]) -> Experiment:
    data = experiment.config.model_dump(mode="json")
    data["dataset"]["alter"] = [change.model_dump(mode="json") for change in alterations]
    data["seeds"] = list(seeds)
    config = Document(str(experiment.source), data).parse(ExperimentConfig)
    return Experiment(config, experiment.source, f"{experiment.label}, {label}")


def _refused(experiment: Experiment, message: str) -> ConfigError:
    return ConfigError(str(experiment.source), [ConfigIssue("", message)])
