"""Studies find what is known to be best, go on where they were killed, share their trials, and see validation alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrec_bench.data.split import SealedTest, VaultLedger
from mmrec_bench.errors import ConfigError, MissingExtraError, ResourceError, TrainingError
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.experiments.folders import digest_of
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.stations.retrieval import RetrievalStation
from mmrec_bench.experiments.tuning import search as tuning
from mmrec_bench.experiments.tuning import trial as trial_module
from mmrec_bench.experiments.tuning.search import tune
from mmrec_bench.experiments.tuning.space import Space, load_space
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.experiments.tuning.study import Budget, Search
from mmrec_bench.experiments.tuning.trial import TrialScore, try_out
from mmrec_bench.training.records import SilentObserver

from .conftest import write_config, write_world
from .interactive_worlds import system
from .interactive_worlds import write_world as write_sessions
from .test_ctr_run import _experiment as clicks

AXES = "  model.embedding_dim: {range: [2, 16]}\n  trainer.learning_rate: {range: [1.0e-3, 1.0e-1], log: true}\n"
TIMES = ("seconds",)


class Diary:
    """Writes down what a study reports; can have the process killed in a trial's epoch."""

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.scores: dict[int, TrialScore] = {}
        self._stop_at = stop_at
        self.found: list[int] = []

    def on_start(self, n_finished: int) -> None:
        self.found.append(n_finished)

    def on_trial(self, number: int, values: Mapping[str, Any]) -> SilentObserver:
        diary = self

        class Epochs(SilentObserver):
            def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
                if diary._stop_at is not None and (number, epoch) >= diary._stop_at:
                    os.kill(os.getpid(), 9)

        return Epochs()

    def on_score(self, number: int, values: Mapping[str, Any], score: TrialScore) -> None:
        self.scores[number] = score


def write_space(world: Path, axes: str, model: str = "mf", trainer: str = "{max_epochs: 4, batch_size: 64}") -> None:
    """Write an experiment and its search space."""
    extra = "seeds: [0, 1]\n" + ("" if trainer else "retriever: {backend: torch}\n")
    write_config(world, model, trainer=trainer, extra=extra)
    text = f"schema_version: 1\nmodel: {model}\naxes:\n{axes}"
    (world / "space.yaml").write_text(text, encoding="utf-8")


def space_in(world: Path, model: str = "mf") -> Space:
    return load_space(world / "space.yaml", load_experiment(world / f"{model}.yaml"))


def searched(
    world: Path,
    out: Path,
    model: str = "mf",
    search: Search | None = None,
    budget: Budget | None = None,
    diary: Diary | None = None,
    storage: str | None = None,
) -> StudyArtefact:
    """Search the space that is written in a world."""
    settings = RunSettings(out, torch.device("cpu"), 1)
    search, budget = search or Search("tpe", "none"), budget or Budget(trials=4)
    return tune(space_in(world, model), search, budget, Preparer(None), settings, diary or Diary(), storage)


def study_of(
    world: Path,
    out: Path,
    *,
    axes: str = AXES,
    model: str = "mf",
    trainer: str = "{max_epochs: 4, batch_size: 64}",
    **told: Any,
) -> StudyArtefact:
    write_space(world, axes, model, trainer)
    return searched(world, out, model, **told)


def lines(study: StudyArtefact) -> list[dict[str, Any]]:
    """Return the trials of a study without what a clock has measured."""
    found = [json.loads(line) for line in (study.folder / "trials.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in found]


def in_processes(calls: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Run studies in processes of their own, all at once, and return their exit codes."""
    context = multiprocessing.get_context("forkserver")  # what they import, its server imports once for all of them
    context.set_forkserver_preload([__name__])
    workers = [context.Process(target=searched, kwargs=dict(call)) for call in calls]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    return [worker.exitcode for worker in workers]


def test_the_known_best_is_found(world: Path, tmp_path: Path) -> None:
    """A model that is trained beats one whose weights hardly move from their random start."""
    axes = "  trainer.learning_rate: {choices: [1.0e-9, 2.0e-9, 3.0e-9, 2.0e-2]}\n"
    study = study_of(
        world, tmp_path / "runs", axes=axes, budget=Budget(trials=10), trainer="{max_epochs: 15, batch_size: 64}"
    )
    assert study.manifest["best"]["values"] == {"trainer.learning_rate": 0.02}
    winner = study.winner(load_experiment(world / "mf.yaml"))
    assert winner.config.trainer is not None
    assert winner.config.trainer.learning_rate == 0.02
    best = [line["best_so_far"] for line in lines(study)]
    assert best == sorted(best)
    assert best[-1] == max(line["score"] for line in lines(study)) == study.manifest["best"]["score"]
    assert min(best) <= study.manifest["curve"]["area_by_trials"] <= max(best)


def test_the_folder_of_facts_and_the_runs_of_the_winner(world: Path, tmp_path: Path) -> None:
    study = study_of(world, tmp_path / "runs")
    assert study.folder.parent == tmp_path / "runs" / "tuning" / "tiny" / "mf"
    facts = study.manifest
    assert facts["kind"] == "study"
    assert facts["vault_openings"] == []
    assert facts["budget"] == {"trials": 4, "seconds": None}
    assert facts["spent"]["trials"] == facts["spent"]["complete"] == 4
    preparer, settings = Preparer(None), RunSettings(tmp_path / "runs", torch.device("cpu"), 1)
    winner = study.winner(load_experiment(world / "mf.yaml"))
    assert winner.config.seeds == (0, 1)
    write_config(world, "mf", trainer="{max_epochs: 4, batch_size: 64}", extra="seeds: [5]\n")
    more = searched(world, tmp_path / "runs")
    assert (more.folder, more.winner(load_experiment(world / "mf.yaml")).config.seeds) == (study.folder, (5,)), (
        "more seeds of the same study"
    )
    prepared = preparer(winner)
    made = run(winner, prepared, run_key(winner, prepared, 0), settings)
    assert made.manifest["tuning"]["study"] == facts["fingerprints"]["study"]
    assert made.manifest["tuning"]["budget"] == facts["budget"]
    assert len(made.manifest["vault_openings"]) == 1
    again = run(winner, prepared, run_key(winner, prepared, facts["search"]["training_seed"]), settings)
    assert again.metrics["valid"]["recall@10"] == facts["best"]["score"], (
        "a run with the seed of the trials is the trial"
    )
    weights = {int(path.stem): digest_of(path) for path in (tmp_path / "runs" / "tuning").rglob("*.safetensors")}
    assert weights == {line["trial"]: line["weights"] for line in lines(study)}
    assert weights[facts["best"]["trial"]] == digest_of(again.folder / "model.safetensors")
    assert [item.folder for item in find_runs([tmp_path / "runs"])] == sorted([made.folder, again.folder])


@pytest.mark.parametrize(
    ("sampler", "pruner", "stop"), [("tpe", "none", (11, 1)), ("random", "median", (8, 0)), ("tpe", "halving", (3, 1))]
)
def test_a_killed_study_goes_on_as_if_it_had_not_been(
    world: Path, tmp_path: Path, sampler: Any, pruner: Any, stop: tuple[int, int]
) -> None:
    """Killed in the middle of a trial; from the 11th on TPE draws from what it has seen."""
    told: dict[str, Any] = {"search": Search(sampler, pruner), "budget": Budget(trials=13), "world": world}
    whole = study_of(out=tmp_path / "whole", **told)
    broken = tmp_path / "broken"
    assert in_processes([{"out": broken, "diary": Diary(stop), **told}]) == [-9]
    assert not list(broken.rglob("trials.jsonl"))
    assert lines(study_of(out=broken, **told)) == lines(whole)


def test_a_greater_budget_goes_on_from_a_smaller_one(world: Path, tmp_path: Path) -> None:
    small = study_of(world, tmp_path / "runs", budget=Budget(trials=3))
    diary = Diary()
    large = study_of(world, tmp_path / "runs", budget=Budget(trials=5), diary=diary)
    assert set(diary.scores) == {3, 4}
    assert diary.found == [3]
    assert [line["values"] for line in lines(large)][:3] == [line["values"] for line in lines(small)]
    assert small.folder != large.folder
    diary = Diary()
    study_of(world, tmp_path / "runs", budget=Budget(trials=5), diary=diary)
    assert not diary.scores, "what is there is not made again"


def test_processes_share_a_study_without_losing_or_doubling_trials(world: Path, tmp_path: Path) -> None:
    told: dict[str, Any] = {"world": world, "out": tmp_path / "runs", "budget": Budget(trials=12)}
    write_space(world, AXES)
    assert in_processes([{**told, "diary": Diary((0, 0))}, told, told, told]) == [-9, 0, 0, 0], "one of four is killed"
    diary = Diary()
    study = searched(**told, diary=diary)
    assert not diary.scores
    assert [line["trial"] for line in lines(study)] == list(range(12))
    assert study.manifest["spent"]["complete"] == 12
    scores = {}
    for line in lines(study):
        scores.setdefault(json.dumps(line["values"]), set()).add(line["score"])
    assert all(len(found) == 1 for found in scores.values()), "one setting, one score, whichever process tried it"


def test_seconds_end_a_study(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "try_out", lambda *_: TrialScore("complete", 0.5, (0.5,), 4.0))
    study = study_of(world, tmp_path / "runs", budget=Budget(seconds=10.0))
    assert study.manifest["spent"]["trials"] == 3, "the trial that crosses the budget is the last"
    study = study_of(world, tmp_path / "runs", budget=Budget(seconds=10.0, trials=2))
    assert study.manifest["spent"]["seconds"] == 8.0
    for seconds in (0.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=f"--seconds: must be above 0, and finite; got {seconds}"):
            Budget(seconds=seconds)
    with pytest.raises(ConfigError, match="--trials"):
        Budget()


def _scored(monkeypatch: pytest.MonkeyPatch, curves: Sequence[Sequence[float]]) -> None:
    """Let trial n report the n-th curve, through the study's own pruner."""
    numbers = iter(range(len(curves)))

    def scored(_experiment: Any, _preparer: Any, _seed: int, _settings: Any, hopeless: Any, *_: Any) -> TrialScore:
        curve = curves[next(numbers)]
        for step, score in enumerate(curve, start=1):
            if hopeless(step, score):
                return TrialScore("pruned", None, tuple(curve[:step]), 1.0)
        return TrialScore("complete", max(curve), tuple(curve), 1.0)

    monkeypatch.setattr(tuning, "try_out", scored)


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_pruning_gives_up_the_hopeless_and_never_the_best(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruner: Any
) -> None:
    """Curves of one shape, one above the other: each trial that is the best so far comes to its end."""
    levels = [0.5, 0.6, 0.7, 0.8, 0.85, 0.1, 0.9, 0.2, 0.95]
    _scored(monkeypatch, [[level * step / 12 for step in range(1, 13)] for level in levels])
    study = study_of(world, tmp_path / "runs", search=Search("random", pruner), budget=Budget(trials=len(levels)))
    outcomes = {line["trial"]: line["outcome"] for line in lines(study)}
    assert outcomes[5] == outcomes[7] == "pruned"
    assert {outcomes[number] for number in (0, 1, 2, 3, 4, 6, 8)} == {"complete"}
    assert study.manifest["best"]["trial"] == 8
    assert lines(study)[5]["score"] is None
    assert len(lines(study)[5]["validations"]) < 12


def test_settings_that_cannot_be_trained_fail_and_count(world: Path, tmp_path: Path) -> None:
    axes = "  trainer.learning_rate: {choices: [1.0e-2, 1.0e+38]}\n"
    study = study_of(world, tmp_path / "runs", axes=axes, budget=Budget(trials=8))
    spent = study.manifest["spent"]
    assert spent["failed"] > 0
    assert spent["failed"] + spent["complete"] == 8
    failed = next(line for line in lines(study) if line["outcome"] == "failed")
    assert "trainer.learning_rate" in failed["message"]
    with pytest.raises(TrainingError, match="no trial of the study"):
        study_of(world, tmp_path / "none", axes="  trainer.learning_rate: {choices: [1.0e+38]}\n")


def test_a_study_of_nothing_but_failures_ends(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MOST_FAILED", 3)
    axes = "  trainer.learning_rate: {choices: [1.0e+38]}\n"
    with pytest.raises(TrainingError, match=r"all of the first 3 trials failed, the last one so: .*learning_rate"):
        study_of(world, tmp_path / "runs", axes=axes, budget=Budget(seconds=1e9))


def test_no_trial_is_within_reach_of_the_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other test labels give the same trials, and no vault is opened, even where code would try."""
    for name in ("one", "two"):
        write_world(tmp_path / name, shuffle_test=name == "two")
    opened: list[str] = []
    monkeypatch.setattr(SealedTest, "open", lambda self, purpose, ledger: opened.append(purpose))
    one, two = (study_of(tmp_path / name, tmp_path / name / "runs") for name in ("one", "two"))
    assert not opened
    assert [line["score"] for line in lines(one)] == [line["score"] for line in lines(two)]
    assert one.manifest["fingerprints"]["split"] != two.manifest["fingerprints"]["split"]


def test_a_station_that_judges_in_a_trial_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetrievalStation, "validate", lambda self, model: self.judge(model, VaultLedger()))
    write_space(world, AXES)
    experiment = space_in(world).experiment
    settings = RunSettings(world / "runs", torch.device("cpu"), 1)
    score = try_out(experiment, Preparer(None), 0, settings, lambda *_: False)
    assert score.outcome == "failed"
    assert "never opens the test vault" in str(score.message)
    assert {name for name in TrialScore.__slots__ if "test" in name} == set()


def test_closed_forms_are_tuned_too(world: Path, tmp_path: Path) -> None:
    axes = "  model.n_neighbors: {range: [1, 20]}\n"
    study = study_of(world, tmp_path / "runs", axes=axes, model="itemknn", trainer="")
    assert all(len(line["validations"]) == 1 for line in lines(study))


def _tuned(experiment: Experiment, axes: str, folder: Path) -> StudyArtefact:
    path = folder / "space.yaml"
    path.write_text(f"schema_version: 1\nmodel: {experiment.config.model.name}\naxes:\n{axes}", encoding="utf-8")
    settings = RunSettings(folder / "runs", torch.device("cpu"), 1)
    space = load_space(path, experiment)
    return tune(space, Search("random", "none"), Budget(trials=2), Preparer(None), settings, Diary())


def test_the_ctr_task_is_tuned(tmp_path: Path) -> None:
    experiment = clicks(tmp_path)
    study = _tuned(experiment, "  model.embedding_dim: {range: [2, 8]}\n", tmp_path)
    assert study.manifest["task"] == "ctr"
    assert study.manifest["spent"]["complete"] == 2


def test_the_interactive_task_is_tuned_around_a_base_made_once(tmp_path: Path) -> None:
    experiment = system(write_sessions(tmp_path), "magus")
    study = _tuned(experiment, "  model.alpha: {range: [0.1, 0.9]}\n", tmp_path)
    assert study.manifest["task"] == "interactive"
    assert study.manifest["spent"]["complete"] == 2
    assert [item.manifest["model"] for item in find_runs([tmp_path / "runs"])] == ["itemknn"]


def test_storage_that_cannot_be_used(world: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all" * 100)
    for url in (f"sqlite:///{broken}", "sqlite:////no/such/folder/study.sqlite", "nonsense", "nosuchdb://host/name"):
        with pytest.raises(ResourceError, match="storage of the study"):
            study_of(world, tmp_path / "runs", storage=url)
    with pytest.raises(ResourceError) as caught:
        study_of(world, tmp_path / "runs", storage="nosuchdb://user:secret@host/name")
    assert "secret" not in str(caught.value)
    study = study_of(world, tmp_path / "runs", storage=f"sqlite:///{tmp_path / 'own.sqlite'}")
    assert study.manifest["spent"]["trials"] == 4
    assert not list((tmp_path / "runs").rglob("*.sqlite"))


def test_a_storage_that_somebody_has_locked_is_told_and_not_waited_for_without_end(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    url = f"sqlite:///{path}"
    study_of(world, tmp_path / "first", storage=url)
    before = path.read_bytes()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ResourceError, match=r"storage of the study.*locked"):
            searched(world, tmp_path / "second", budget=Budget(trials=5), storage=url)
        other.execute("ROLLBACK")
    assert path.read_bytes() == before
    assert searched(world, tmp_path / "second", budget=Budget(trials=5), storage=url).manifest["spent"]["trials"] == 5


def test_studies_of_other_spaces_share_a_storage_and_no_trial(world: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    first = study_of(world, tmp_path / "runs", storage=url)
    diary = Diary()
    other = study_of(
        world, tmp_path / "runs", axes="  model.embedding_dim: {choices: [4, 8]}\n", storage=url, diary=diary
    )
    assert sorted(diary.scores) == [0, 1, 2, 3], "every trial of its own was made"
    assert {tuple(line["values"]) for line in lines(other)} == {("model.embedding_dim",)}
    assert other.folder != first.folder


def test_what_is_not_there_is_no_failed_trial(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is there, the same command goes on from nothing."""

    def missing(*_: object) -> None:
        raise MissingExtraError("the faiss retriever needs faiss")

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "built", missing)
        with pytest.raises(MissingExtraError):
            study_of(world, tmp_path / "out")
    diary = Diary()
    study = study_of(world, tmp_path / "out", diary=diary)
    assert diary.found == [0]
    assert {line["outcome"] for line in lines(study)} == {"complete"}


def test_a_winner_has_the_settings_of_today_that_move_no_number(world: Path, tmp_path: Path) -> None:
    study = study_of(world, tmp_path / "out")
    winner = study.winner(
        load_experiment(world / "mf.yaml", ("retriever.memory_mib=99", "trainer.checkpoint_seconds=7"))
    )
    assert winner.config.retriever is not None
    assert winner.config.trainer is not None
    assert (winner.config.retriever.memory_mib, winner.config.trainer.checkpoint_seconds) == (99, 7)
    before = study.winner(load_experiment(world / "mf.yaml"))
    keys = [run_key(one, Preparer(None)(one), 0).fingerprint for one in (winner, before)]
    assert keys[0] == keys[1]
