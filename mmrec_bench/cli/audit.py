"""The command that audits a data set and its split for leaks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, Overrides, out
from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.auditing import SplitAudit, audit_experiments, audit_rule, rule_of
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import Experiment, is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.reports.audit import audit_rows
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml


def audit(
    dataset: Annotated[str, typer.Argument(help="Name of a data set card, or the path of one.")],
    protocol: Annotated[
        str, typer.Argument(help="A split rule, such as global-time, or the YAML of an experiment or a suite.")
    ],
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    data_dir: DataDir = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all findings to this file, too.")] = None,
) -> None:
    """Ask whether a split leaks: PASS, WARN or FAIL for each check. Exit code 1 where one fails."""
    preparer = Preparer(data_dir)
    if "/" in protocol or protocol.endswith((".yaml", ".yml")):
        audits = list(audit_experiments(dataset, _experiments(protocol, tuple(overrides)), preparer))
    else:
        audits = list(audit_rule(dataset, rule_of(protocol, overrides), preparer))
    for found in audits:
        _print(found)
    if json_file is not None:
        _write(json_file, audits)
    if any(found.audited.audit.verdict == "fail" for found in audits):
        raise typer.Exit(1)


def _experiments(config: str, overrides: tuple[str, ...]) -> Sequence[Experiment]:
    if is_suite(load_yaml(find_yaml("configs", config))):
        return load_suite(config, overrides).experiments
    return [load_experiment(config, overrides)]


def _print(found: SplitAudit) -> None:
    out.print()
    out.print(
        f"{found.dataset}: leak audit of {found.kind}, {found.protocol}", style="bold", highlight=False, markup=False
    )
    audited, prints = found.audited, found.fingerprints
    for verdict, check, finding in audit_rows(audited.audit):  # no table: findings are sentences
        out.print(f"{verdict:<5} {check:<23} {finding}", highlight=False, markup=False)
    made = f"data `{prints['data']}`, split `{prints['split']}`, {audited.seconds:.1f} s"
    note = f"{audited.audit.verdict.upper()}: {made}"
    out.print(note, style="dim", highlight=False, markup=False)


def _write(path: Path, audits: Sequence[SplitAudit]) -> None:
    text = json.dumps([found.as_json() for found in audits], indent=2, ensure_ascii=False, allow_nan=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}. Give another file by --json") from None
