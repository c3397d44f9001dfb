"""Suites skip what is there, go on with what was interrupted, and say what failed."""

from __future__ import annotations

from pathlib import Path

import filelock
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.errors import ConfigError
from mmrec_bench.experiments import folders
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import Failure, Outcome, PlannedRun, plan, run_all
from mmrec_bench.training.records import EpochRecord, SilentObserver

from .conftest import write_config

ROOT = Path(__file__).parents[2]


class Diary:
    """Writes down what a suite reports; can interrupt a run after some epochs."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.lines: list[str] = []
        self._interrupt_after = interrupt_after

    def on_run(self, planned: PlannedRun, number: int, total: int) -> SilentObserver:
        self.lines.append(f"run {planned.experiment.label} {planned.key.seed}")
        diary = self

        class Epochs(SilentObserver):
            def on_epoch(self, record: EpochRecord) -> None:
                if diary._interrupt_after is not None and record.epoch >= diary._interrupt_after:
                    raise KeyboardInterrupt

        return Epochs()

    def on_reused(self, planned: PlannedRun, number: int, total: int) -> None:
        self.lines.append(f"reused {planned.experiment.label} {planned.key.seed}")

    def on_failure(self, failure: Failure) -> None:
        self.lines.append(f"failed {failure.label} {failure.seed}")


def bench(world: Path, settings: RunSettings, diary: Diary, *, reuse_stale: bool = False) -> Outcome:
    suite = load_suite(world / "suite.yaml")
    planned, failures = plan(suite.experiments, Preparer(None), settings.out)
    return run_all(planned, settings, diary, failures=failures, reuse_stale=reuse_stale)


@pytest.fixture
def suite_world(world: Path) -> Path:
    write_config(world, "popularity", trainer="")
    write_config(world, "mf")
    (world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nseeds: [0, 1]\n"
        "experiments:\n  - config: popularity.yaml\n"
        "  - {config: mf.yaml, label: mf-16, set: [model.embedding_dim=16]}\n",
        encoding="utf-8",
    )
    return world


def test_seeds_go_by_the_model_that_is_run(suite_world: Path) -> None:
    """Not by the one that stands in the file: overrides may name another."""
    (suite_world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nseeds: [0, 1]\nset: [trainer.max_epochs=1]\nexperiments:\n"
        "  - {config: popularity.yaml, set: [model.name=mf]}\n"
        "  - {config: mf.yaml, set: [model.name=popularity, trainer=null]}\n",
        encoding="utf-8",
    )
    trained, closed = (one.config for one in load_suite(suite_world / "suite.yaml").experiments)
    assert (trained.model.name, trained.seeds, trained.trainer.max_epochs) == ("mf", (0, 1), 1)
    assert (closed.model.name, closed.seeds, closed.trainer) == ("popularity", (0,), None)


def test_a_second_call_reuses_every_run(suite_world: Path, settings: RunSettings) -> None:
    first, second = Diary(), Diary()
    done = bench(suite_world, settings, first)
    assert first.lines == ["run popularity 0", "run mf-16 0", "run mf-16 1"], "closed forms need one seed"
    assert [label for label, _ in done.runs] == ["popularity", "mf-16", "mf-16"]
    assert done.runs[1][1].config()["model"]["embedding_dim"] == 16
    again = bench(suite_world, settings, second)
    assert second.lines == ["reused popularity 0", "reused mf-16 0", "reused mf-16 1"]
    assert again.reused == 3


def test_runs_of_other_code_are_made_again_or_reused_on_request(
    suite_world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(suite_world, settings, Diary())
    monkeypatch.setattr(folders, "code_digest", lambda: "0" * 16)
    diary = Diary()
    bench(suite_world, settings, diary, reuse_stale=True)
    assert all(line.startswith("reused") for line in diary.lines)
    diary = Diary()
    bench(suite_world, settings, diary)
    assert [line.split()[0] for line in diary.lines] == ["run"] * 3
    assert len(list((settings.out / ".stale").iterdir())) == 3, "the old runs are kept aside"


def test_a_failed_run_does_not_stop_the_others(suite_world: Path, settings: RunSettings) -> None:
    (suite_world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nexperiments:\n"
        "  - {config: mf.yaml, label: no-data, set: [dataset.card=missing.yaml]}\n"
        "  - {config: mf.yaml, label: diverges, set: [trainer.learning_rate=1e30]}\n"
        "  - config: popularity.yaml\n",
        encoding="utf-8",
    )
    (suite_world / "missing.yaml").write_text(
        "schema_version: 1\nname: missing\nformat: mmrec\ninteractions: nothing.inter\n", encoding="utf-8"
    )
    diary = Diary()
    done = bench(suite_world, settings, diary)
    assert [(item.label, item.seed) for item in done.failures] == [("no-data", None), ("diverges", 0)]
    assert "nothing.inter was not found" in done.failures[0].message
    assert "is nan in epoch 0, batch 1" in done.failures[1].message
    assert [item.trace for item in done.failures] == [None, None], "both are clear errors, not tracebacks"
    assert [label for label, _ in done.runs] == ["popularity"]
    assert not any("mf" in str(path) for path in settings.out.rglob("manifest.json"))


def test_an_interrupted_run_goes_on_and_ends_bit_identical(
    suite_world: Path, settings: RunSettings, tmp_path: Path
) -> None:
    (suite_world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nset: [trainer.checkpoint_seconds=0, trainer.max_epochs=6]\n"
        "experiments:\n  - config: mf.yaml\n",
        encoding="utf-8",
    )
    whole = bench(suite_world, RunSettings(tmp_path / "whole", settings.device, settings.threads), Diary())
    resuming = RunSettings(settings.out, settings.device, settings.threads, resume=True)
    with pytest.raises(KeyboardInterrupt):
        bench(suite_world, resuming, Diary(interrupt_after=3))
    assert not list(settings.out.rglob("manifest.json"))
    suite = load_suite(suite_world / "suite.yaml")
    planned, _ = plan(suite.experiments, Preparer(None), settings.out)
    assert [item.state for item in planned] == ["partial"]
    done = bench(suite_world, resuming, Diary())
    ((_, first),), ((_, second),) = whole.runs, done.runs
    assert first.metrics == second.metrics
    strip = {"train_seconds", "validate_seconds", "cpu_seconds"}
    histories = [
        [{key: value for key, value in record.items() if key not in strip} for record in run.history()]
        for run in (first, second)
    ]
    assert histories[0] == histories[1]
    a, b = (load_file(run.folder / "model.safetensors") for run in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_all_errors_of_a_suite_come_at_once(suite_world: Path) -> None:
    (suite_world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nexperiments:\n  - {config: mf.yaml, set: [model.embeding_dim=16]}\n"
        "  - config: none.yaml\n  - {config: popularity.yaml, set: [trainer.max_epochs=3]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_suite(suite_world / "suite.yaml")
    text = str(caught.value)
    assert "did you mean 'embedding_dim'" in text
    assert "none.yaml" in text
    assert "closed form" in text


@pytest.mark.parametrize(("old", "new"), [("Tiny", '"a\\e[31m"'), ("Tiny", '" "'), ("mf-16", '"a\\nb"')])
def test_headings_that_cannot_be_drawn_are_refused_before_anything_is_trained(
    suite_world: Path, old: str, new: str
) -> None:
    path = suite_world / "suite.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=r"one line without control characters|needs letters"):
        load_suite(path)


def test_a_damaged_run_is_made_again(suite_world: Path, settings: RunSettings) -> None:
    done = bench(suite_world, settings, Diary())
    (done.runs[0][1].folder / "metrics.json").write_text("{", encoding="utf-8")
    (done.runs[1][1].folder / "rankings.parquet").unlink()
    diary = Diary()
    bench(suite_world, settings, diary)
    assert diary.lines == ["run popularity 0", "run mf-16 0", "reused mf-16 1"]


def test_a_fingerprint_covers_what_moves_numbers_and_nothing_else(suite_world: Path, settings: RunSettings) -> None:
    def fingerprint(*overrides: str) -> str:
        planned, failures = plan([load_experiment(suite_world / "mf.yaml", overrides)], Preparer(None), settings.out)
        assert not failures
        return planned[0].key.fingerprint

    base = fingerprint()
    assert fingerprint("trainer.checkpoint_seconds=5", "retriever.memory_mib=64", "seeds=[7]") == base
    changed = {
        fingerprint(f"{name}={value}")
        for name, value in (
            ("model.embedding_dim", 32), ("trainer.batch_size", 32), ("protocol.cutoffs", "[5, 10, 20]"),
            ("protocol.tie_seed", 1), ("dataset.modalities", "[image]"), ("retriever.backend", "torch"),
        )
    }  # fmt: skip
    assert len(changed | {base}) == 7
    text = (suite_world / "tiny.inter").read_text()
    (suite_world / "tiny.inter").write_text(text.replace("\t0\n", "\t1\n", 1))
    assert fingerprint() not in changed | {base}


def test_a_run_that_another_process_makes_is_waited_for_at_the_end(suite_world: Path, settings: RunSettings) -> None:
    suite = load_suite(suite_world / "suite.yaml")
    planned, _ = plan(suite.experiments, Preparer(None), settings.out)
    partial = planned[0].key.partial(settings.out)
    partial.parent.mkdir(parents=True)
    lock = filelock.FileLock(partial.with_name(partial.name + ".lock"))
    lock.acquire()

    class Releasing(Diary):
        def on_run(self, planned: PlannedRun, number: int, total: int) -> SilentObserver:
            if number == total:
                lock.release()
            return super().on_run(planned, number, total)

    diary = Releasing()
    done = run_all(planned, settings, diary)
    assert not done.failures
    assert diary.lines == ["run popularity 0", "run mf-16 0", "run mf-16 1", "run popularity 0"]
    assert [label for label, _ in done.runs] == ["mf-16", "mf-16", "popularity"]


def test_seeds_of_a_suite_are_those_of_what_draws(tmp_path: Path) -> None:
    rows = "".join(
        f"  - config: {ROOT}/configs/synthetic/{name}.yaml\n" for name in ("random-sessions-lightgcn", "core-lightgcn")
    )
    (tmp_path / "suite.yaml").write_text(f"schema_version: 1\ntitle: Tiny\nseeds: [3, 4]\nexperiments:\n{rows}")
    assert [one.config.seeds for one in load_suite(tmp_path / "suite.yaml").experiments] == [(3, 4), (0,)]


def test_the_same_experiment_twice_is_refused(suite_world: Path) -> None:
    suite = (
        "schema_version: 1\ntitle: Tiny\nseeds: [0, 1]\nexperiments:\n"
        "  - config: mf.yaml\n  - {config: mf.yaml, set: [model.embedding_dim=8]}\n"
        "  - {config: mf.yaml, label: again}\n"
    )
    (suite_world / "suite.yaml").write_text(suite, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_suite(suite_world / "suite.yaml")
    assert [str(issue) for issue in caught.value.issues] == [
        "experiments[2]: is the same experiment as 'mf'; change a setting, or remove it (line 7)"
    ]


def test_seeds_of_an_experiment_may_stand_in_two_rows(suite_world: Path) -> None:
    rows = [f"  - {{config: mf.yaml, set: ['seeds=[{seed}]']}}\n" for seed in (0, 1)]
    (suite_world / "suite.yaml").write_text("schema_version: 1\ntitle: Tiny\nexperiments:\n" + "".join(rows))
    assert [one.config.seeds for one in load_suite(suite_world / "suite.yaml").experiments] == [(0,), (1,)]


def test_runs_that_only_settings_without_effect_tell_apart_are_made_once(
    suite_world: Path, settings: RunSettings
) -> None:
    (suite_world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nset: [trainer.max_epochs=1]\nexperiments:\n  - config: popularity.yaml\n"
        "  - {config: popularity.yaml, label: again, set: [retriever.memory_mib=64]}\n",
        encoding="utf-8",
    )
    done = bench(suite_world, settings, Diary())
    assert [label for label, _ in done.runs] == ["popularity"]
    assert [failure.message for failure in done.failures] == [
        "is the same experiment as 'popularity'; change a setting, or remove it"
    ]
