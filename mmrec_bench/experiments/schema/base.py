"""The YAML of the base of an interactive system: which retrieval model gives the first scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.folders import CONFIG, MANIFEST, run_beside
from mmrec_bench.experiments.schema.candidates import FirstStageConfig, stage_sections
from mmrec_bench.experiments.schema.seeds import Seed, Seedlist
from mmrec_bench.models.base import ModelConfig
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import load_yaml, of_form
from mmrec_bench.training.config import TrainerConfig


class BaseRef(FirstStageConfig):
    """A retrieval model, trained without what is held out of the users who come online."""

    select_by: Annotated[str, of_form(r"[a-z-]+@[1-9][0-9]*", "a metric and a cutoff, such as recall@20")] = "recall@20"
    """Validation metric of retrieval by which its weights are chosen."""
    seed: Seed = 0
    """Its seed; all systems around it get the same scores."""
    run: str | None = None
    """Folder of a run that is there already; the other keys are then those of this run, and may be left out."""

    def run_config(self) -> dict[str, Any]:
        """Return the config of the run that is there already."""
        assert self.run is not None
        return load_yaml(Path(self.run) / CONFIG).data

    def run_differs(
        self,
        model: ModelConfig,
        trainer: TrainerConfig | None,
        retriever: RetrieverConfig | None,
        select_by: str,
        seeds: Seedlist,
    ) -> list[str]:
        """Return the keys that are not as in the run that is there already, whose these are; none without a run."""
        if self.run is None:
            return []
        of_run = {
            "model": model,
            "trainer": trainer,
            "retriever": retriever,
            "select_by": select_by,
            "seed": seeds[0],
        }
        return [key for key, value in of_run.items() if getattr(self, key) != value]


def base_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML in which the path of a base is replaced by the sections that stand there.

    Where a run is named, keys that are not given are those of the run.

    Raises:
        ConfigError: There is no such file or run, or it reads made features that the YAML does not name.
    """
    inputs = data.get("inputs")
    base = inputs.get("base") if isinstance(inputs, dict) else None
    named = isinstance(base, dict) and isinstance(base.get("run"), str)
    name = base["run"] if isinstance(base, dict) and named else base
    if not isinstance(inputs, dict) or not isinstance(name, str):
        return data
    if (run := run_beside(name, folder)) is not None:
        found = _of_run(run)
        given = base if isinstance(base, dict) else {}  # what differs from the run is refused when it is checked
        return {**data, "inputs": {**inputs, "base": {**found, **given, "run": found["run"]}}}
    if named or (folder / name).is_dir():
        message = f"is no whole folder of a run, which holds a {MANIFEST}. Name another one, or a YAML"
        raise ConfigError(name, [ConfigIssue("inputs.base", message)])
    return {**data, "inputs": {**inputs, "base": stage_sections(name, folder, inputs, "inputs.base")}}


def _of_run(run: Path) -> dict[str, Any]:
    config = load_yaml(run / CONFIG).data
    if not isinstance(config.get("model"), dict) or not isinstance(config.get("protocol"), dict):
        raise ConfigError(str(run), [ConfigIssue("inputs.base", "is no folder of a run of a retrieval model")])
    sections = {name: config[name] for name in ("model", "trainer", "retriever") if config.get(name) is not None}
    seeds = config.get("seeds") or [0]
    return {**sections, "select_by": config["protocol"].get("select_by"), "seed": seeds[0], "run": str(run)}
