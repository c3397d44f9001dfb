"""What a suite will cost, before it starts: short trainings, and what earlier runs say of the number of epochs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.errors import ArtefactError
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import PeakMemory, code_digest, device_facts, use_threads
from mmrec_bench.experiments.folders import MANIFEST, SCHEMA_VERSION, read_json
from mmrec_bench.experiments.prepare import Prepared, run_key
from mmrec_bench.experiments.run import built, with_inputs, with_made_features
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.suite import PlannedRun
from mmrec_bench.experiments.tuning.study import Budget
from mmrec_bench.files import replace_file
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Observer
from mmrec_bench.training.trainer import train

Case: TypeAlias = Literal["least", "likely", "most"]

CALIBRATION_EPOCHS = 2
"""Epochs of a short training; the faster one counts, for the first warms up and another process may disturb one."""

RANKED_ROW_BYTES, JUDGED_ROW_BYTES = 8, 50
"""What a row of ``rankings.parquet`` and of ``per_user.parquet`` takes at most in the runs of the quick suite."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a short training told.

    Attributes:
        build_seconds: Of reading data and building the model.
        epoch_seconds: Of one epoch of training, or of the whole fit of a closed form.
        validate_seconds: Of one validation.
        test_seconds: Of judging both held-out parts, taken as validations of their sizes.
        peak_memory_mib: Resident memory of the process at its highest.
        disk_bytes: Of the weights, and of the tables of rankings and metrics as far as the validation part tells.
    """

    build_seconds: float
    epoch_seconds: float
    validate_seconds: float
    test_seconds: float
    peak_memory_mib: float
    disk_bytes: float


@dataclass(frozen=True, slots=True)
class RunForecast:
    """What the runs of one experiment will cost.

    Attributes:
        label: Name of its row.
        dataset: Name of its data set.
        n_runs: Runs that are not there.
        validate_every: Epochs between validations.
        epochs: Epochs of a run: at ``least`` (no score better than the first), ``likely`` (mean of earlier runs of
            this model on these data; ``most`` where there are none), and at ``most``.
        n_known: Number of these earlier runs.
        budget: Of its study, or None.
        measured: What a short training told.
    """

    label: str
    dataset: str
    n_runs: int
    validate_every: int
    epochs: Mapping[Case, float]
    n_known: int
    budget: Budget | None
    measured: Calibration

    def run_seconds(self, epochs: float) -> float:
        """Return the seconds of a run of so many epochs."""
        return self.training_seconds(epochs) + self.measured.test_seconds

    def training_seconds(self, epochs: float) -> float:
        """Return the seconds of a training of so many epochs, as of a trial."""
        told = self.measured
        return told.build_seconds + epochs * (told.epoch_seconds + told.validate_seconds / self.validate_every)

    def study_seconds(self, case: Case) -> float:
        """Return the seconds of its study; none is pruned, and the one that crosses the budget comes to its end."""
        if self.budget is None:
            return 0.0
        one = self.training_seconds(self.epochs[case])
        trials = float("inf") if self.budget.trials is None else self.budget.trials
        seconds = float("inf") if self.budget.seconds is None else self.budget.seconds + one
        return min(trials * one, seconds)

    def seconds(self, case: Case) -> float:
        """Return the seconds of its study and all its runs, one after another."""
        return self.study_seconds(case) + self.n_runs * self.run_seconds(self.epochs[case])


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a suite will cost.

    Attributes:
        rows: One an experiment with runs to be made.
        threads: Threads it was measured with.
        device: Name of the device.
        code: Digest of the code.
    """

    rows: tuple[RunForecast, ...]
    threads: int
    device: str
    code: str

    @staticmethod
    def path(out: Path, name: str) -> Path:
        """Return the file of the latest forecast of a suite."""
        return out / "forecasts" / f"{name}.json"

    def save(self, path: Path) -> None:
        """Write it, so that what comes can be held against it.

        Raises:
            ResourceError: The file cannot be written.
        """
        facts = {"schema_version": SCHEMA_VERSION, "kind": "forecast", **asdict(self)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, write.json_text(facts).encode())
        except OSError as error:
            raise write.disk_error(path, error) from None

    @classmethod
    def load(cls, path: Path) -> Forecast | None:
        """Read a forecast; None where there is none.

        Raises:
            ArtefactError: The file is no forecast of this schema.
        """
        if not path.is_file():
            return None
        facts = read_json(path)
        try:
            if (facts.pop("schema_version"), facts.pop("kind")) != (SCHEMA_VERSION, "forecast"):
                raise ValueError("it is of another kind or schema")
            rows = tuple(
                RunForecast(
                    **{
                        **row,
                        "budget": None if row["budget"] is None else Budget(**row["budget"]),
                        "measured": Calibration(**row["measured"]),
                    }
                )
                for row in facts.pop("rows")
            )
            return cls(rows, **facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(f"{path}: is no forecast of this version ({error}); delete it and plan again") from None


def forecast(
    planned: Sequence[PlannedRun],
    settings: RunSettings,
    budgets: Mapping[str, Budget],
    tell: Callable[[str], Observer | None],
) -> Forecast:
    """Measure short trainings of what is not there, one of each experiment.

    Features that an experiment needs are made for good. A first stage that is not there, a base, or weights to start
    from, are trained as shortly, and thrown away. The test part of what is measured is not opened.

    Args:
        planned: All runs of a suite; those on features altered by a knockout are taken to cost as much as the real one.
        settings: How runs will be made.
        budgets: Budget of the study of an experiment, by its label.
        tell: Is told the label of each experiment before it is measured; returns who watches.

    Raises:
        MMRecBenchError: A short training failed, as the run would.
    """
    groups: dict[str, list[PlannedRun]] = {}
    for item in planned:
        if item.state != "done" and not (item.state == "stale" and settings.reuse_stale):
            groups.setdefault(_same_cost(item.experiment), []).append(item)
    rows = []
    use_threads(settings.threads)
    for items in groups.values():
        first = items[0]
        trainer = first.experiment.config.trainer or TrainerConfig()
        closed = first.experiment.config.entry.closed_form
        known = _epochs_known(first, settings.out)
        most = 1 if closed else trainer.max_epochs
        least = min(most, (1 + trainer.patience) * trainer.validate_every)
        epochs: dict[Case, float] = {"least": least, "likely": min(most, fmean(known or [most])), "most": most}
        label = first.experiment.label
        measured = calibrate(first.experiment, first.prepared, first.key.seed, settings, tell(label))
        every = 1 if closed else trainer.validate_every
        dataset, budget = first.prepared.dataset.name, budgets.get(label)
        rows.append(RunForecast(label, dataset, len(items), every, epochs, len(known), budget, measured))
    device = str(device_facts(settings.device).get("name", settings.device))
    return Forecast(tuple(rows), settings.threads, device, code_digest())


def calibrate(
    experiment: Experiment, prepared: Prepared, seed: int, settings: RunSettings, observer: Observer | None
) -> Calibration:
    """Train for two epochs and validate, through the one training loop, and say what that took."""
    before = _short_before(prepared, seed, settings, observer)
    with tempfile.TemporaryDirectory(prefix="mmrec-bench-forecast-") as scratch, PeakMemory() as memory:
        aside = replace(settings, out=Path(scratch))
        prepared, _ = with_inputs(before, seed, aside, observer)
        started = time.perf_counter()
        station, model, context, _ = built(experiment, prepared, seed, aside)
        built_seconds = time.perf_counter() - started
        config = _short(experiment).config.trainer or TrainerConfig()
        result = train(model, context, config, station.validate, Seeds(seed), settings.device, observer=observer)
        fit = min(record.train_seconds for record in result.history)
        validation = min(record.validate_seconds for record in result.history)
        weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    both = _both_parts(prepared)
    judged, ranked = _rows(experiment, prepared)
    return Calibration(
        built_seconds,
        fit,
        validation,
        both * validation,
        memory.peak_mib,
        weights + both * (judged * JUDGED_ROW_BYTES + ranked * RANKED_ROW_BYTES),
    )


def _short(experiment: Experiment) -> Experiment:
    """Return an experiment whose training is over soon."""
    trainer = experiment.config.trainer
    if trainer is None:
        return experiment
    told = {"max_epochs": min(CALIBRATION_EPOCHS, trainer.max_epochs), "validate_every": 1}
    config = experiment.config.model_copy(update={"trainer": trainer.model_copy(update=told)})
    return Experiment(config, experiment.source, experiment.label)


def _short_before(prepared: Prepared, seed: int, settings: RunSettings, observer: Observer | None) -> Prepared:
    """Return the data of an experiment, where runs that it needs and that are not there are short.

    Features that are not there are made for good.
    """
    prepared, _ = with_made_features(prepared, settings, observer)
    if (stage := prepared.first_stage) is not None and stage.folder is None:
        if stage.key.state(settings.out) == "done":
            stage = replace(stage, folder=stage.key.folder(settings.out))
        else:
            before = _short_before(stage.prepared, stage.key.seed, settings, observer)
            short = _short(stage.experiment)
            key = run_key(short, before, stage.key.seed)
            stage = replace(stage, experiment=short, prepared=before, key=key)
        prepared = replace(prepared, first_stage=stage)
    if (start := prepared.start) is not None and start.folder is None:
        assert start.experiment is not None
        assert start.prepared is not None
        first, data = start.experiment, start.prepared
        if (key := run_key(first, data, seed)).state(settings.out) == "done":
            start = replace(start, folder=key.folder(settings.out))
        else:
            before = _short_before(data, seed, settings, observer)
            start = replace(start, experiment=_short(first), prepared=before)
        prepared = replace(prepared, start=start)
    return prepared


def _both_parts(prepared: Prepared) -> float:
    """Return how many times as many rows both held-out parts have as the validation part alone."""
    counts = prepared.split.report.counts
    return 1.0 + counts["test"] / max(1, counts["valid"])


def _rows(experiment: Experiment, prepared: Prepared) -> tuple[int, int]:
    """Return the rows of the tables of metrics and of rankings that the validation part gives."""
    protocol, valid = experiment.config.protocol, prepared.split.valid
    if isinstance(valid, Lists):
        return valid.n_lists, len(valid.items)
    if isinstance(valid, Points):
        return valid.n_users, len(valid.items)
    assert isinstance(valid, Interactions)
    users = int((valid.user_counts() > 0).sum())
    if isinstance(protocol, InteractiveProtocol):
        sessions = users * protocol.sessions_per_user
        return sessions, sessions * protocol.cutoffs[-1] * protocol.slots * 2
    assert isinstance(protocol, (RetrievalProtocol, RankingProtocol))
    return users, users * protocol.cutoffs[-1]


def _same_cost(experiment: Experiment) -> str:
    """Return what runs share that are taken to cost as much; knockouts alter features alone."""
    config = experiment.config
    facts: dict[str, Any] = config.model_dump(mode="json", exclude={"seeds": True, "dataset": {"alter": True}})
    return json.dumps(facts, sort_keys=True)


def _epochs_known(item: PlannedRun, out: Path) -> list[int]:
    """Return the epochs of finished runs of the same model on the same data set."""
    folder = item.key.folder(out).parent.parent
    found = []
    for path in sorted(folder.glob(f"*/seed-*/{MANIFEST}")):
        training = read_json(path).get("training") or {}
        if isinstance(epochs := training.get("epochs_run"), int):
            found.append(epochs)
    return found
