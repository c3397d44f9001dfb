"""Options of executors as a user types them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmrec_bench.cli import app as cli

CONFIG = "configs/synthetic/popularity.yaml"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "ray", "--workers", "2"], "--workers is of --executor local"),
        (["--address", "local"], "add --executor ray"),
        (["--data-url", "s3://bucket"], "add --executor ray"),
        (["--run-memory", "500"], "add --workers N"),
        (["--shard-evaluation", "2"], "add --executor ray"),
        (["--executor", "ray", "--shard-evaluation", "2", "--device", "cuda"], "ranks on CPUs"),
        (["--executor", "slurm"], "'slurm' is not one of"),
        (["--executor", "ray", "--address", "nonsense"], "must be auto, local, host:port or ray://host:port"),
    ],
)
def test_options_that_do_nothing_are_errors(
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", "run", CONFIG, "--out", str(tmp_path), *options])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("manifest.json"))


def test_two_workers_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["mmrec-bench", "run", CONFIG, "--out", str(tmp_path), "--workers", "2", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    printed = capsys.readouterr().out
    assert "done: [1/1] popularity on synthetic, seed 0" in printed
    assert "synthetic: accuracy" in printed
