"""From a row of run folders to its result card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.cards import schema as form
from mmrec_bench.reports.cards.scores import intervals
from mmrec_bench.reports.cards.words import protocol_words
from mmrec_bench.reports.collect import Estimate, Row, TableKey
from mmrec_bench.reports.comparisons.family import told_apart
from mmrec_bench.reports.comparisons.pairs import seeds_of
from mmrec_bench.reports.directions import has_direction, lower_is_better
from mmrec_bench.reports.user_scores import user_scores
from mmrec_bench.seeding import Seeds
from mmrec_bench.statistics.comparison import compare, verdict
from mmrec_bench.statistics.families import adjusted

OWN = ("config", "data", "split", "features", "code")
"""Fingerprints that have fields of their own; the others are of inputs."""


def card_of(row: Row, baselines: Sequence[Row] = ()) -> form.ResultCard:
    """Return the card of a row: a pure function of run folders.

    Args:
        row: The row.
        baselines: Rows of the same table that it is tested against.
    """
    first = row.runs[0]
    facts, prints = first.manifest, first.manifest["fingerprints"]
    config = {key: value for key, value in first.config().items() if key != "seeds"}
    tables = [run.per_user() for run in row.runs]
    return form.ResultCard(
        label=row.label,
        task=row.key.task,
        dataset=row.key.dataset,
        protocol=form.ProtocolCard(
            id=row.key.protocol_id, words=protocol_words(row.key.task, config), select_by=row.key.select_by
        ),
        fingerprints=form.Fingerprints(
            experiment=row.fingerprint,
            data=prints["data"],
            split=prints["split"],
            features=prints.get("features", {}),
            inputs={name: value for name, value in prints.items() if name not in OWN},
        ),
        config=config,
        config_digest=form.digest_of_json(config),
        seeds=row.seeds,
        tuning=_tuning(row),
        metrics={"valid": _scores(row, "valid", tables), "test": _scores(row, "test", tables)},
        comparisons=_comparisons(row, baselines),
        parameters={name: int(count) for name, count in facts["n_parameters"].items()},
        cost=_cost(row),
        makings=_makings(row.runs),
        vault=tuple(
            form.Opening(seed=seed, time=told["time"], purpose=told["purpose"])
            for seed, run in zip(row.seeds, row.runs, strict=True)
            for told in _openings(run.manifest)
        ),
        audit=_audit(row.runs),
        deviations=tuple(facts.get("deviations", ())),
        runs=tuple(
            form.RunDigests(seed=seed, files=dict(run.manifest["files"]))
            for seed, run in zip(row.seeds, row.runs, strict=True)
        ),
    ).sealed()


def cards_of(tables: Mapping[TableKey, Sequence[Row]], baselines: Sequence[str] = ()) -> list[form.ResultCard]:
    """Return the cards of all rows of all tables, each tested against the rows of the baselines in its table.

    Raises:
        ArtefactError: A baseline is no row of a table.
    """
    cards = []
    for rows in tables.values():
        against = [row for row in rows if row.label in baselines]
        if missing := [label for label in baselines if label not in {row.label for row in against}]:
            others = [other for table in tables.values() for other in table if other.label in missing]
            known = ", ".join(row.label for row in rows)
            raise ArtefactError(
                f"the baseline '{missing[0]}' has no run in the table of {known} on {rows[0].key.dataset}. "
                f"{told_apart([*others, rows[0]])} Leave it out, or run it there"
            )
        cards += [card_of(row, [other for other in against if other is not row]) for row in rows]
    return cards


def number(estimate: Estimate | None) -> form.Number | None:
    """Return an estimate as it stands on cards."""
    return None if estimate is None else form.Number(mean=float(estimate.mean), sd=estimate.sd, n=estimate.n)


def _scores(row: Row, part: str, tables: Sequence[Any]) -> dict[str, form.Score]:
    names = tuple(row.runs[0].metrics[part])
    ends = intervals(tables, part, names)
    over: Literal["users", "users and seeds"] = "users" if len(row.runs) == 1 else "users and seeds"
    found = {}
    for name in names:
        if (estimate := row.metric(part, name)) is not None:
            low, high = ends.get(name, (None, None))
            found[name] = form.Score(
                mean=float(estimate.mean), sd=estimate.sd, n=estimate.n, low=low, high=high,
                over=None if low is None else over,
            )  # fmt: skip
    return found


def _tuning(row: Row) -> form.TuningCard | None:
    """Return the study that chose the settings; runs made before it, of the same settings, name none."""
    told = next((run.manifest["tuning"] for run in row.runs if run.manifest.get("tuning")), None)
    return None if told is None else form.TuningCard(**{key: told[key] for key in form.TuningCard.model_fields})


def _cost(row: Row) -> form.CostCard:
    def phases(name: str) -> dict[str, form.Number]:
        found = {phase: number(row.fact(name, phase)) for phase in row.runs[0].manifest.get(name) or {}}
        return {phase: value for phase, value in found.items() if value is not None}

    kwh, told = number(row.fact("energy", "kwh")), [run.manifest.get("energy") or {} for run in row.runs]
    how = tuple(dict.fromkeys(one["how"] for one in told if "how" in one))
    return form.CostCard(
        seconds=phases("seconds"),
        cpu_seconds=phases("cpu_seconds") or None,
        peak_memory_mib=number(row.fact("peak_memory_mib")),
        peak_device_memory_mib=number(row.fact("peak_device_memory_mib")),
        energy=None if kwh is None else form.EnergyCard(kwh=kwh, how=how),
    )


def _makings(runs: Sequence[RunArtefact]) -> tuple[form.Making, ...]:
    made: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for run in runs:
        told = run.manifest
        device = told.get("device") or {}
        facts = {
            "code": told["fingerprints"].get("code", "unknown"),
            "git": told.get("git"),
            "packages": dict(told.get("packages") or {}),
            "device": {"type": device.get("type", "unknown"), "name": device.get("name", "unknown")}
            | {"cores": device.get("cores")},
            "threads": told.get("threads"),
            "determinism": told.get("determinism"),
        }
        made.setdefault(form.digest_of_json(facts), (facts, []))[1].append(told["seed"])
    return tuple(form.Making(seeds=tuple(seeds), **facts) for facts, seeds in made.values())


def _openings(facts: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [*facts.get("vault_openings", ()), *(facts.get("audit") or {}).get("vault_openings", ())]


def _audit(runs: Sequence[RunArtefact]) -> form.AuditCard | None:
    told = next((run.manifest["audit"] for run in runs if run.manifest.get("audit")), None)
    return None if told is None else form.AuditCard(**{key: told[key] for key in form.AuditCard.model_fields})


def _comparisons(row: Row, baselines: Sequence[Row]) -> tuple[form.ComparisonCard, ...]:
    metric = row.key.select_by
    if not baselines or not has_direction(metric):
        return ()
    rows = {one.fingerprint: one for one in (row, *baselines)}
    sign = -1 if lower_is_better([metric]) else 1
    scores = {name: sign * seeds_of(rows[name], found) for name, found in user_scores(rows, metric).items()}
    made = [
        compare(
            scores[row.fingerprint],
            scores[other.fingerprint],
            Seeds(0).numpy(f"compare/{row.fingerprint}/{other.fingerprint}/{metric}"),
        )
        for other in baselines
    ]
    p_values = adjusted([found.p_value for found in made], "holm")
    return tuple(
        form.ComparisonCard(
            baseline=other.label,
            experiment=other.fingerprint,
            seeds=other.seeds,
            metric=metric,
            difference=found.interval.difference,
            low=found.interval.low,
            high=found.interval.high,
            p=p,
            verdict=verdict(found, p, None, None),
        )
        for other, found, p in zip(baselines, made, p_values, strict=True)
    )
