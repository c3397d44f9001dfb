"""The command that tells in what two runs, experiments or suites differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, errors, out, print_rows
from mmrec_bench.errors import ConfigError, ConfigIssue, DataError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.differences import (
    Difference,
    Differences,
    Side,
    differences,
    differences_of_suites,
    side_of_experiment,
    side_of_run,
)
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import Experiment, is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import load_yaml


def diff(
    left: Annotated[str, typer.Argument(help="A run folder, or the YAML of an experiment or a suite.")],
    right: Annotated[str, typer.Argument(help="Another one.")],
    data_dir: DataDir = None,
) -> None:
    """List every difference that can move a number, then those that cannot, then metrics.

    Exit code: 0 without a difference that can move a number, 1 with one.
    """
    found = _found(left, right, Preparer(data_dir))
    _tell(found)
    if found.moving:
        raise typer.Exit(1)


def _found(left: str, right: str, preparer: Preparer) -> Differences:
    suites = [_is_suite(name) for name in (left, right)]
    if all(suites):
        one, other = (_suite(name, preparer) for name in (left, right))
        return differences_of_suites(one, other)
    if any(suites):
        suite, single = (left, right) if suites[0] else (right, left)
        message = f"is a suite, and {single} is one experiment; name two suites, or a member of the suite"
        raise ConfigError(suite, [ConfigIssue("", message)])
    return differences(_side(left, preparer), _side(right, preparer))


def _is_suite(name: str) -> bool:
    return not Path(name).is_dir() and is_suite(load_yaml(find_yaml("configs", name)))


def _suite(name: str, preparer: Preparer) -> Mapping[str, Side]:
    loaded = load_suite(name, (), None)
    return {one.label: _of_experiment(one, preparer) for one in loaded.experiments}


def _side(name: str, preparer: Preparer) -> Side:
    if Path(name).is_dir():
        return side_of_run(RunArtefact.load(Path(name)))
    return _of_experiment(load_experiment(name), preparer)


def _of_experiment(experiment: Experiment, preparer: Preparer) -> Side:
    try:
        fingerprints = preparer(experiment).fingerprints
    except DataError as error:
        first = str(error).splitlines()[0]
        errors.print(f"{experiment.label}: without its data: {first}", highlight=False, markup=False)
        fingerprints = None
    return side_of_experiment(experiment, fingerprints)


def _tell(found: Differences) -> None:
    if found.moving:
        print_rows(("can move a number", "what", "left", "right"), map(_cells, found.moving), n_texts=2)
    else:
        out.print("no difference that can move a number", highlight=False)
    if found.untold:
        out.print(f"not compared, for a side does not tell: {', '.join(found.untold)}", style="dim", highlight=False)
    for title, told in (("cannot move a number", found.idle), ("came out of it", found.outcome)):
        if told:
            out.print()
            print_rows((title, "left", "right"), [_cells(one)[1:] for one in told])
    if found.outcome and not found.moving:
        out.print("the numbers differ all the same: something that is not written down moves them", highlight=False)


def _cells(one: Difference) -> tuple[str, ...]:
    return one.group, one.what, one.left, one.right
