"""Which rows are compared with which: a family declared beforehand, a baseline, or all with all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.experiments.differences import differences, side_of_run
from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.settings import BaseConfig, load_yaml
from mmrec_bench.statistics.families import Adjustment

Pairs = list[tuple[TableKey, Row, Row]]


class ComparisonConfig(BaseConfig):
    """One comparison of a family."""

    first: str
    """Label of a row, as tables show it."""
    second: str
    """Label of the row that it is compared with."""


class FamilyConfig(BaseConfig):
    """A family of comparisons, declared before their numbers are seen."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    title: str
    """What the family is about; the heading of its tables."""
    metric: str | None = None
    """Test metric, such as ``ndcg@20``; by default the one that chose the weights, on validation."""
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the second row's mean by which the first may fall behind, or differ; none by default: no such claim."""
    comparisons: Annotated[tuple[ComparisonConfig, ...], Field(min_length=1)]
    """The comparisons; each is made in every table that holds both rows."""


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons that are adjusted for each other.

    Attributes:
        title: Heading.
        adjustment: How p values are adjusted.
        metric: Test metric; None takes that of selection.
        margin: Relative margin; None makes no claim within one.
        labels: Labels of first and second rows; None compares all rows, each pair once, in the order of tables.
        baseline: Label of the row that all others are compared with, in place of `labels`.
    """

    title: str
    adjustment: Adjustment
    metric: str | None = None
    margin: float | None = None
    labels: tuple[tuple[str, str], ...] | None = None
    baseline: str | None = None

    def pairs(self, tables: Mapping[TableKey, Sequence[Row]]) -> Pairs:
        """Return the pairs of rows to compare, table by table.

        Raises:
            ArtefactError: A label that no table holds, two that never share a table, or nothing to compare.
        """
        named = {key: {row.label: row for row in rows} for key, rows in tables.items()}
        if self.labels is not None:
            pairs = self._declared(named)
        elif self.baseline is not None:
            pairs = self._with_baseline(named, self.baseline)
        else:
            pairs = [(key, *pair) for key, rows in tables.items() for pair in combinations(rows, 2)]
        if not pairs:
            held = "; ".join(f"{key.dataset}: {', '.join(rows)}" for key, rows in named.items()) or "no run"
            apart = [row for rows in named.values() for row in rows.values()]
            raise ArtefactError(f"nothing to compare: no two rows share a table ({held}). {told_apart(apart)}")
        return pairs

    def _declared(self, named: Mapping[TableKey, Mapping[str, Row]]) -> Pairs:
        pairs: Pairs = []
        for first, second in self.labels or ():
            for label in (first, second):
                _known(label, named)
            shared = [(key, rows[first], rows[second]) for key, rows in named.items() if {first, second} <= set(rows)]
            if not shared:
                apart = [row for rows in named.values() for label, row in rows.items() if label in (first, second)]
                raise ArtefactError(f"'{first}' and '{second}' never share a table. {told_apart(apart)}")
            pairs += shared
        return sorted(pairs, key=lambda pair: list(named).index(pair[0]))

    @staticmethod
    def _with_baseline(named: Mapping[TableKey, Mapping[str, Row]], label: str) -> Pairs:
        _known(label, named)
        for key, rows in named.items():
            if label not in rows:
                holder = next(other for other, held in named.items() if label in held)
                apart = told_apart([named[holder][label], *rows.values()])
                raise ArtefactError(
                    f"the baseline '{label}' has no run in the table of {', '.join(rows)} on {key.dataset}. {apart} "
                    "Leave these runs out, or run the baseline there"
                )
        return [(key, row, rows[label]) for key, rows in named.items() for row in rows.values() if row.label != label]


def load_family(path: Path) -> Family:
    """Read a declared family.

    Raises:
        ConfigError: All issues of the file.
    """
    config = load_yaml(path).parse(FamilyConfig)
    labels = tuple((one.first, one.second) for one in config.comparisons)
    return Family(config.title, "holm", config.metric, config.margin, labels)


def _known(label: str, named: Mapping[TableKey, Mapping[str, Row]]) -> None:
    labels = dict.fromkeys(name for rows in named.values() for name in rows)
    if label not in labels:
        raise ArtefactError(f"no row is called '{label}'; rows: {', '.join(labels) or 'none'}")


MEANING = ("data", "split", "protocol")
"""Groups of differences that keep rows out of one table."""


def told_apart(rows: Sequence[Row]) -> str:
    """Return in what the tables of rows differ, in words: what their keys say, and the settings behind it."""
    firsts = list({row.key: row for row in rows}.values())
    names = [field.name for field in fields(TableKey)]
    columns = zip(names, zip(*(astuple(row.key) for row in firsts), strict=True), strict=False)
    differing = [
        f"{name} {' / '.join(dict.fromkeys(map(str, values)))}" for name, values in columns if len(set(values)) > 1
    ]
    if not differing:
        return ""
    settings = dict.fromkeys(text for row in firsts[1:] for text in _settings_apart(firsts[0], row))
    return f"Their tables differ in: {'; '.join((*differing, *settings))}."


def _settings_apart(one: Row, other: Row) -> list[str]:
    """Return the keys of the configs that keep two rows apart, as `diff` tells them; none where one cannot be read."""
    try:
        found = differences(*(side_of_run(row.runs[0]) for row in (one, other)))
    except (ArtefactError, ConfigError):
        return []
    return [
        f"{told.what} {told.left} / {told.right}"
        for told in found.moving
        if told.group in MEANING and told.what.startswith(("protocol.", "dataset."))
    ]
