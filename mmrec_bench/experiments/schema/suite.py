"""The YAML of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.knockout import KnockoutConfig
from mmrec_bench.experiments.lis.config import LoadedProbe, load_lis
from mmrec_bench.experiments.schema.experiment import Experiment, is_suite, load_experiment
from mmrec_bench.experiments.schema.parts import entry_of
from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.experiments.tuning.config import SHIPPED_SPACES, TuningConfig
from mmrec_bench.experiments.tuning.space import Space, spaces_of
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import BaseConfig, SeenLine, explained_error, load_yaml
from mmrec_bench.visible_text import visible


class SuiteItem(BaseConfig):
    """One experiment of a suite."""

    config: str
    """Path of the experiment's YAML, relative to the suite file."""
    set: tuple[str, ...] = ()
    """Overrides as of ``--set``, such as ``model.n_layers=3``."""
    label: SeenLine | None = None
    """Name of the row in tables; the model's label, with its own settings in brackets, by default."""
    knockout: bool = False
    """Whether the modality truth test is made, too."""


class SuiteConfig(BaseConfig):
    """A list of experiments that are run and reported together."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    title: SeenLine
    """Heading of the report."""
    description: str = ""
    """What the suite shows, printed under the heading."""
    seeds: Seedlist | None = None
    """Replaces the seeds of every experiment that seeds can move."""
    set: tuple[str, ...] = ()
    """Overrides for every experiment; those of the trainer pass by what is fitted in closed form."""
    knockout: KnockoutConfig = KnockoutConfig()
    """How the modality truth test is made where an experiment asks for it."""
    tuning: TuningConfig | None = None
    """How every model is tuned before it is run; left out, experiments are run as they are."""
    experiments: Annotated[tuple[SuiteItem, ...], Field(min_length=1)]
    """What to run."""
    probes: tuple[str, ...] = ()
    """Paths of LIS probes, relative to the suite file, which stand in a section of their own."""

    @model_validator(mode="after")
    def _knockout_is_read(self) -> Self:
        if "knockout" in self.model_fields_set and not any(item.knockout for item in self.experiments):
            raise explained_error("knockout needs an experiment with `knockout: true`; without one it does nothing")
        return self


@dataclass(frozen=True, slots=True)
class Suite:
    """A validated suite.

    Attributes:
        config: The validated suite file.
        name: Stem of its file; names the report's folder.
        experiments: Its experiments, in order.
        knockouts: Those among them whose modalities are tested.
        probes: Its LIS probes.
        spaces: Search space of each experiment; None for one that is run as it is.
    """

    config: SuiteConfig
    name: str
    experiments: tuple[Experiment, ...]
    knockouts: tuple[Experiment, ...] = ()
    probes: tuple[LoadedProbe, ...] = ()
    spaces: tuple[Space | None, ...] = ()

    def with_chosen(self, chosen: Sequence[Experiment | None]) -> Suite:
        """Return the suite with what its studies chose, by row, in place of its experiments; without rows of None."""
        tested = {id(item) for item in self.knockouts}
        rows = [(one, id(was) in tested) for was, one in zip(self.experiments, chosen, strict=True) if one is not None]
        knockouts = tuple(one for one, is_tested in rows if is_tested)
        return replace(self, experiments=tuple(one for one, _ in rows), knockouts=knockouts)


def load_suite(
    name_or_path: str | Path, overrides: tuple[str, ...] = (), seeds: tuple[int, ...] | None = None
) -> Suite:
    """Read a suite and every experiment it names.

    Args:
        name_or_path: The suite file.
        overrides: Applied to every experiment, after those of the suite; probes take none.
        seeds: Replaces the suite's seeds.

    Raises:
        ConfigError: With all issues of the suite and of all its experiments at once.
    """
    path = find_yaml("configs", str(name_or_path))
    document = load_yaml(path)
    if not is_suite(document):
        raise ConfigError(str(path), [ConfigIssue("", "is no suite (it lists no experiments); try `mmrec-bench run`")])
    if seeds:
        document = document.with_overrides([f"seeds={list(seeds)}"])
    config = document.parse(SuiteConfig)
    experiments: list[Experiment] = []
    knockouts: list[Experiment] = []
    issues: list[ConfigIssue] = []
    for row, item in enumerate(config.experiments):
        shared = (*config.set, *overrides)
        try:
            found = _suite_experiment(path.parent / item.config, shared, item.set, config.seeds, item.label)
        except ConfigError as error:
            issues += error.within(f"experiments[{row}]", line=document.lines.get(("experiments", row)))
            continue
        if (twin := next((one for one in experiments if _same_runs(one, found)), None)) is not None:
            line = document.lines.get(("experiments", row))
            issues.append(ConfigIssue(f"experiments[{row}]", same_as(twin.label), line))
        experiments.append(found)
        if item.knockout:
            knockouts.append(found)
    probes: list[LoadedProbe] = []
    shared = (f"seeds={list(config.seeds)}",) if config.seeds else ()
    for row, name in enumerate(config.probes):
        try:
            probes.append(load_lis(path.parent / name, shared))
        except ConfigError as error:
            issues += error.within(f"probes[{row}]", line=document.lines.get(("probes", row)))
    if issues:
        raise ConfigError(str(path), issues)
    spaces: tuple[Space | None, ...] = ()
    if (tuning := config.tuning) is not None:
        where = SHIPPED_SPACES if tuning.spaces is None else str(path.parent / tuning.spaces)
        spaces = spaces_of(str(path), experiments, where)
    return Suite(config, path.stem, tuple(experiments), tuple(knockouts), tuple(probes), spaces)


def same_as(label: str) -> str:
    """Return what is wrong with an experiment that another row holds already."""
    return f"is the same experiment as '{label}'; change a setting, or remove it"


def _same_runs(one: Experiment, other: Experiment) -> bool:
    """Return whether two experiments would make a run twice."""
    first, second = one.config, other.config
    return not {*first.seeds}.isdisjoint(second.seeds) and first.model_copy(update={"seeds": second.seeds}) == second


def _suite_experiment(
    path: Path, shared: tuple[str, ...], own: tuple[str, ...], seeds: tuple[int, ...] | None, label: str | None
) -> Experiment:
    """Read one experiment of a suite; seeds and shared settings of the trainer pass by what has a closed form."""
    document = load_yaml(find_yaml("configs", str(path))).with_overrides((*shared, *own))  # they may name another model
    entry = entry_of(document.data.get("model"))
    if entry is not None and entry.closed_form:
        shared = tuple(setting for setting in shared if not setting.startswith("trainer."))
    if seeds and not (entry is not None and entry.deterministic):
        shared = (*shared, f"seeds={list(seeds)}")
    found = load_experiment(path, (*shared, *own), label)
    told = [setting for setting in own if setting.startswith(("model.", "trainer."))]
    if label is None and told:
        found = Experiment(found.config, found.source, f"{found.label} ({visible(', '.join(told))})")
    return found
