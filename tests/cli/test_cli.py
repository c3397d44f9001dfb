"""The commands as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mmrec_bench.cli import app as cli
from mmrec_bench.cli import main
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.models.base import MODELS

QUICK = [
    "protocol.cutoffs=[5, 20]",
    "trainer.max_epochs=2",
    "trainer.validate_every=1",
]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def flags(overrides: list[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def test_one_experiment_from_yaml_to_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["run", "configs/synthetic/lightgcn.yaml", *flags(QUICK), "--seed", "3", "--out", str(tmp_path / "runs")]
    assert call(monkeypatch, *command) == 0
    printed = capsys.readouterr().out
    folder = Path(next(line for line in printed.splitlines() if line.startswith("run: ")).removeprefix("run: "))
    assert folder.name == "seed-3"
    assert (folder / "manifest.json").is_file()
    for part in ("synthetic: accuracy", "recall@20", "items:tail", "peak MiB"):
        assert part in printed
    assert call(monkeypatch, *command) == 0
    assert "there already" in capsys.readouterr().out
    assert call(monkeypatch, "report", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "report")) == 0
    assert (tmp_path / "report" / "report.csv").is_file()
    (card,) = (tmp_path / "report" / "cards").glob("synthetic-lightgcn-*.json")
    assert call(monkeypatch, "card", "verify", str(card), str(tmp_path / "runs")) == 0
    assert call(monkeypatch, "card", str(folder), "--out", str(tmp_path / "cards")) == 0
    assert (tmp_path / "cards" / card.name).read_text() == card.read_text()
    capsys.readouterr()
    assert call(monkeypatch, "diff", str(folder), str(folder)) == 0
    assert "no difference that can move a number" in capsys.readouterr().out
    assert call(monkeypatch, "diff", str(folder), "configs/synthetic/lightgcn.yaml") == 1
    told = capsys.readouterr().out
    assert "trainer.max_epochs" in told
    assert "not compared" in told
    assert call(monkeypatch, "diff", str(folder), "configs/suites/quick.yaml") == 2
    assert "name two suites" in capsys.readouterr().err


def test_bench_ends_with_a_report_and_exit_code_1_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configs = Path("configs/synthetic").resolve()
    suite = tmp_path / "mine.yaml"
    text = (
        "schema_version: 1\ntitle: Mine\nseeds: [0]\nexperiments:\n"
        f"  - {{config: '{configs}/popularity.yaml'}}\n"
        f"  - {{config: '{configs}/mf.yaml', set: [{', '.join(QUICK[1:])}]}}\n"
    )
    suite.write_text(text, encoding="utf-8")
    places = ["--out", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "reports")]
    assert call(monkeypatch, "plan", str(suite), "--states", "--out", str(tmp_path / "runs")) == 0
    assert capsys.readouterr().out.count("new") == 2
    assert not (tmp_path / "runs").exists(), "nothing is measured"
    assert call(monkeypatch, "plan", str(suite), "--out", str(tmp_path / "runs")) == 0
    assert capsys.readouterr().out.count("new") >= 2
    assert call(monkeypatch, "bench", str(suite), *places) == 0
    assert "# Mine" in (tmp_path / "reports" / "mine" / "report.md").read_text(encoding="utf-8")
    assert "serve most differently" not in (tmp_path / "reports" / "mine" / "report.html").read_text(encoding="utf-8")
    again = tmp_path / "again"
    assert call(monkeypatch, "report", str(tmp_path / "runs"), "--errors", "--report-dir", str(again)) == 0
    page = (again / "report.html").read_text(encoding="utf-8")
    assert "Users whom popularity (seed 0) and mf (seed 0) serve most differently on validation" in page
    assert any(again.glob("plots/synthetic-retrieval-*-slices.png"))
    before = {path: path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert call(monkeypatch, "report", str(tmp_path / "runs"), "--errors", "--report-dir", str(again)) == 0
    assert {path: path.read_bytes() for path in again.rglob("*") if path.is_file()} == before
    (again / "copy").mkdir()
    (again / "copy" / "per_user.parquet").write_bytes(b"")
    assert call(monkeypatch, "report", str(tmp_path / "runs"), str(again), "--report-dir", str(again)) == 2
    assert "not a whole run folder; missing: config.yaml" in capsys.readouterr().err
    assert call(monkeypatch, "report", str(tmp_path / "runs"), "--report-dir", str(suite)) == 2
    assert "cannot write the report to" in capsys.readouterr().err
    suite.write_text(
        text + f"  - {{config: '{configs}/mf.yaml', set: [trainer.learning_rate=1e30]}}\n", encoding="utf-8"
    )
    assert call(monkeypatch, "bench", str(suite), *places, "--set", "trainer.max_epochs=2") == 1
    captured = capsys.readouterr()
    assert "there already" in captured.out
    assert "1 failed" in captured.err
    assert "is nan in epoch" in captured.err
    assert "is nan in epoch" in (tmp_path / "reports" / "mine" / "report.md").read_text(encoding="utf-8")


def test_a_knockout_from_yaml_to_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """On a tiny world whose users look at images alone, whose vectors say all about them."""
    (tmp_path / "small.yaml").write_text(
        "schema_version: 1\nname: small\nformat: synthetic\n"
        "world: {n_users: 200, n_items: 150, max_interactions: 50, mean_interactions: 10.0, users: {image: 1.0},\n"
        "  factor_dim: 4, taste_strength: 5.0, popularity_exponent: 0.2, image: {dim: 16, signal: 1.0}}\n",
        encoding="utf-8",
    )
    card, places = ["--set", f"dataset.card={tmp_path / 'small.yaml'}"], ["--out", str(tmp_path / "runs")]
    content = ["run", "configs/synthetic/itemknn-content.yaml", *card, *places, "--knockout"]
    assert call(monkeypatch, *content, "--seed", "0", "--seed", "1") == 0
    printed = capsys.readouterr().out
    for part in (
        "small: accuracy", "small: does itemknn-content use its features?", "real, other seeds", "image shuffled",
        "text gaussian", "text alone (image dropped)", "image constant", "Margin of a `no`: 5% of that score",
        "itemknn-content uses image: yes (the interval lies above zero",
    ):  # fmt: skip
        assert part in printed, part
    assert "uses text: yes" not in printed
    accuracy = printed.partition("does itemknn-content use")[0]
    assert "shuffled" not in accuracy[accuracy.index("small: accuracy") :]

    assert call(monkeypatch, *content, "--seed", "0", "--margin", "0.9") == 0
    printed = capsys.readouterr().out
    assert "10 of 10 runs were there already" in printed, "seed 1 was real before, and is the null row now"
    assert "uses image: unclear (the spread over seeds needs at least two seeds)" in printed

    command = ["report", str(tmp_path / "runs"), "--margin", "0.2", "--report-dir", str(tmp_path / "report")]
    assert call(monkeypatch, *command) == 0
    assert "uses image: yes" in capsys.readouterr().out
    assert "Margin of a `no`: 20% of that score" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")

    trained = ["run", "configs/synthetic/mgcn.yaml", *card, *places, *flags(["trainer.max_epochs=1"]), "--knockout"]
    assert call(monkeypatch, *trained, "--seed", "0") == 0
    printed = capsys.readouterr().out
    assert "Not possible: image alone (text dropped), for mgcn needs text." in printed
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "schema_version: 1\ntitle: Mine\nseeds: [0]\nknockout: {seeds: [0, 1], margin: 0.3}\nexperiments:\n"
        f"  - {{config: '{Path('configs/synthetic/itemknn-content.yaml').resolve()}', knockout: true,\n"
        f"     set: [{card[1]}]}}\n",
        encoding="utf-8",
    )
    assert call(monkeypatch, "plan", str(suite), *places) == 0
    listed = capsys.readouterr().out
    assert listed.count("itemknn-content, text shuffled") == 2
    assert "new" not in listed
    assert call(monkeypatch, "bench", str(suite), *places, "--report-dir", str(tmp_path / "reports")) == 0
    text = (tmp_path / "reports" / "mine" / "report.md").read_text(encoding="utf-8")
    assert "| itemknn-content | 1 |" in text, "the accuracy table has the seeds of the suite"
    assert "| image shuffled | 2 |" in text
    assert "Margin of a `no`: 30% of that score" in text


def test_features_are_made_and_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    short = ["--set", "trainer.max_epochs=2", "--out", str(tmp_path / "runs")]
    assert call(monkeypatch, "features", "align", "configs/features/synthetic-ica.yaml", *short) == 0
    printed = capsys.readouterr().out
    folder = Path(next(line for line in printed.splitlines() if line.startswith("features: ")).partition(": ")[2])
    assert (folder / "vectors.safetensors").is_file()
    assert "trained on 950 items; loss on 50 others" in printed
    command = ["features", "evaluate", "configs/features/synthetic-evaluate.yaml", "--out", str(tmp_path / "runs")]
    command += ["--set", f"features.ica.made={folder}", "--set", "mask_ratios=[0.5]"]
    assert call(monkeypatch, *command, "--report-dir", str(tmp_path / "reports")) == 0
    printed = capsys.readouterr().out
    for part in (
        "synthetic: features",
        "zero-shot recall@20",
        "image -50%",
        "behaviour recall@10",
        "random",
        "valid part",
    ):
        assert part in printed
    written = tmp_path / "reports" / "synthetic-evaluate"
    assert {path.name for path in written.iterdir()} == {"report.md", "report.csv", "report.json"}
    assert call(monkeypatch, *command, "--report-dir", str(tmp_path / "reports"), "--part", "test") == 0
    assert "test part" in (tmp_path / "reports" / "synthetic-evaluate-test" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "configs/synthetic/lightgcn.yaml", "--set", "model.n_layer=3"], "did you mean 'n_layers'"),
        (["run", "configs/synthetic/lightgnc.yaml"], "did you mean"),
        (["run", "no/such/file.yaml"], "no such file"),
        (["run", "configs/synthetic/lightgcn.yaml", "--set", "trainer.batch_size=0"], "greater than 0"),
        (["run", "configs/synthetic/lightgcn.yaml", "--set", "protocol.select_by=recall@21"], "select_by"),
        (["run", "configs/synthetic/ease.yaml", "--set", "retriever.backend=faiss"], "torch"),
        (["run", "configs/synthetic/ease.yaml", "--set", "trainer.max_epochs=3"], "closed form"),
        (["run", "configs/synthetic/lightgcn.yaml", "--device", "tpu"], "auto, cpu or cuda"),
        (["report", "nowhere"], "no such folder"),
        (["validate", "configs/synthetic/mf.yaml", "--set", "dataset.card=amazon-bby"], "did you mean 'amazon-baby'"),
        (["validate", "configs/synthetic/mgcn.yaml", "--set", "dataset.modalities=[text]"], "'mgcn' needs image"),
        (["run", "configs/synthetic/mf.yaml", "--seed", "-1"], "got -1"),
        (["run", "configs/synthetic/mf.yaml", "--seed", "99999999999999999999"], "too large"),
        (["run", "configs/suites/quick.yaml"], "is a suite"),
        (["bench", "configs/synthetic/mf.yaml"], "is no suite"),
        (["run", "configs/synthetic/vbpr.yaml", "--set", "dataset.modalities=[]"], "at least one modality"),
        (["validate", "configs/synthetic/vbpr.yaml", "--set", "dataset.modalities=[imag]"], "did you mean 'image'"),
        (["run", "configs/synthetic/mf.yaml", "--knockout"], "'mf' reads no features"),
        (["run", "configs/synthetic/vbpr.yaml", "--knockout", "--margin", "1"], "--margin: 1 error"),
        (["run", "configs/features/synthetic-ica.yaml"], "mmrec-bench features align"),
        (["features", "align", "configs/features/synthetic-ica.yaml", "--set", "encoder.n_chunk=3"], "did you mean"),
        (["features", "align", "configs/features/synthetic-ica.yaml", "--set", "encoder.n_chunks=3"], "multiple of"),
        (["features", "evaluate", "configs/features/synthetic-ica.yaml"], "did you mean"),
        (["features", "evaluate", "configs/features/synthetic-evaluate.yaml", "--part", "train"], "'valid', 'test'"),
        (["data", "fetch", "synthetic", "--data-dir", "data"], "is made on the fly"),
        (["data", "fetch", "amazon-2018:Baby"], "amazon-2018:Baby: 1 error"),  # and no picture of a baby
        (["run"], "Missing argument"),
        (["fly"], "No such command"),
    ],
)
def test_bad_input_is_one_clear_error_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert call(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err + captured.out


def test_data_that_is_not_there_says_where_to_put_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("MMREC_BENCH_DATA", raising=False)
    command = ["run", "configs/amazon-baby/mf.yaml", "--data-dir", str(tmp_path), "--out", str(tmp_path / "runs")]
    assert call(monkeypatch, *command) == 2
    text = capsys.readouterr().err
    assert "baby.inter was not found" in text
    assert "--data-dir" in text
    assert "Traceback" not in text


def test_listings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(monkeypatch, "models") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in MODELS)
    assert call(monkeypatch, "datasets", "--data-dir", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "amazon-baby" in printed
    assert "160,792" in printed
    assert call(monkeypatch, "doctor", "--data-dir", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for part in ("torch", "faiss", "threads", "free of", "extras", "amazon-sports"):
        assert part in printed
    assert call(monkeypatch, "validate", "configs/suites/quick.yaml") == 0
    assert capsys.readouterr().out.count("ok:") == len(load_suite("suites/quick").experiments)
    assert call(monkeypatch, "--version") == 0


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("mmrec-bench")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip().count(".") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux grants memory that is not there")
def test_too_large_a_model_is_an_error_and_not_killed(tmp_path: Path) -> None:
    """In a process of its own: tables that the system would promise, and kill the process when it fills them."""
    command = [Path(sys.executable).with_name("mmrec-bench"), "run", "configs/synthetic/mf.yaml", "--seed", "0"]
    wide = psutil.virtual_memory().total * 3 // 2 // (4 * 2_000)  # of 2,000 users
    command += ["--set", f"model.embedding_dim={wide}", "--device", "cpu", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    assert "too little memory for building the model on cpu. Lower model.embedding_dim" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_while_packages_are_read_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "mmrec_bench.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "mmrec_bench.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
