"""A result card as a page that people read: Markdown, or HTML without anything to load."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmrec_bench.reports.cards.schema import ComparisonCard, Number, ResultCard, Score
from mmrec_bench.statistics.contrast import LEVEL
from mmrec_bench.strict_yaml import dump

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a table, or with plain text.

    Attributes:
        title: Heading.
        header: Column names; empty where `text` is shown instead.
        rows: Cells.
        text: Preformatted text.
    """

    title: str
    header: Cells = ()
    rows: tuple[Cells, ...] = ()
    text: str = ""


def sections(card: ResultCard) -> Iterator[Section]:
    """Yield the sections of a card, what is asked for first at the top."""
    yield Section("What it is", ("", ""), tuple(_identity(card)))
    scores = [
        (name, *_score(card.metrics["test"].get(name)), *_score(card.metrics["valid"].get(name)))
        for name in dict.fromkeys((*card.metrics["test"], *card.metrics["valid"]))
    ]
    seen = next(iter(card.metrics["test"].values())).over if card.metrics["test"] else None
    ends = f"{LEVEL:.0%} interval over {seen or 'users'}"
    yield Section(f"Metrics, n = {len(card.seeds)}", ("metric", "test", ends, "validation", ends), tuple(scores))
    if card.comparisons:
        yield Section(
            "Against baselines named beforehand",
            ("baseline", "metric", "difference", f"{LEVEL:.0%} interval", "p (Holm)", "verdict"),
            tuple(_comparison(one) for one in card.comparisons),
        )
    yield Section("Cost of one run", ("what", "mean ± standard deviation"), tuple(_cost(card)))
    for making in card.makings:
        git = "-" if making.git is None else f"{making.git.sha}{' with changes' if making.git.dirty else ''}"
        rows = [
            ("code", making.code), ("commit", git), ("hardware", f"{making.device.name} ({making.device.type})"),
            ("threads", str(making.threads)), ("determinism", str(making.determinism)),
            ("packages", ", ".join(f"{name} {version}" for name, version in making.packages.items())),
        ]  # fmt: skip
        yield Section(f"Making of seeds {_listed(making.seeds)}", ("", ""), tuple(rows))
    yield Section(
        "Openings of the test part",
        ("seed", "time", "purpose"),
        tuple((str(one.seed), one.time, one.purpose) for one in card.vault),
    )
    if card.audit is not None:
        found = tuple((name, card.audit.checks[name], text) for name, text in card.audit.messages.items())
        yield Section(f"Leak audit: {card.audit.verdict}", ("check", "verdict", "found"), found)
    if card.deviations:
        yield Section("Deviations from the papers", ("",), tuple((text,) for text in card.deviations))
    yield Section("Settings", text=dump(card.config))


def markdown(card: ResultCard) -> str:
    """Return the card in Markdown."""
    parts = [f"# {card.label} on {card.dataset}\n"]
    for section in sections(card):
        parts.append(f"## {section.title}\n")
        if section.text:
            parts.append(f"```yaml\n{section.text.rstrip()}\n```\n")
            continue
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            for row in (section.header, *section.rows)
        ]
        parts.append("\n".join([lines[0], "|" + " :-- |" * len(section.header), *lines[1:]]) + "\n")
    return "\n".join(parts)


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}table{border-collapse:collapse;display:block;overflow-x:auto;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}"
    "pre{background:#f5f5f5;padding:1rem;overflow-x:auto}.facts td+td{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#222}td,th{border-color:#444}}"
)


def page(card: ResultCard) -> str:
    """Return the card as one HTML page."""
    title = html.escape(f"{card.label} on {card.dataset}")
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>"
    ]
    for section in sections(card):
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            parts.append(f"<pre>{html.escape(section.text)}</pre>")
            continue
        named = any(section.header)
        table = "<table><thead>" + _row(section.header, "th") + "</thead>" if named else '<table class="facts">'
        parts.append(f"{table}<tbody>{''.join(_row(row, 'td') for row in section.rows)}</tbody></table>")
    return "\n".join(parts) + "\n</body></html>\n"


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _identity(card: ResultCard) -> Iterator[Cells]:
    prints = card.fingerprints
    yield "digest of this card", card.digest
    yield "task", card.task
    yield "protocol", card.protocol.words
    yield "protocol id", card.protocol.id
    yield "experiment", prints.experiment
    yield "data, split", f"{prints.data}, {prints.split}"
    yield "features", _named(prints.features)
    if prints.inputs:
        yield "inputs", _named(prints.inputs)
    yield "seeds", _listed(card.seeds)
    yield "parameters", ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in card.parameters.items())
    tuning = card.tuning
    if tuning is None:
        yield "settings chosen", "by hand"
    else:
        yield (
            "settings chosen",
            f"by study {tuning.study}, trial {tuning.trial}: {_told(tuning.search)}; budget {_told(tuning.budget)}; "
            f"spent {_told(tuning.spent)}",
        )


def _cost(card: ResultCard) -> Iterator[Cells]:
    cost = card.cost
    for name, phases in (("seconds", cost.seconds), ("processor seconds", cost.cpu_seconds or {})):
        for phase, value in phases.items():
            yield f"{name}, {phase.replace('_', ' ')}", _number(value, 2)
    for name, memory in (("memory", cost.peak_memory_mib), ("accelerator memory", cost.peak_device_memory_mib)):
        if memory is not None:
            yield f"peak {name}, MiB", _number(memory, 0)
    if cost.energy is None:
        yield "energy", "not asked for"
    else:
        yield "energy, Wh", f"{1000 * cost.energy.kwh.mean:.4g} ({'; '.join(cost.energy.how)})"


def _comparison(one: ComparisonCard) -> Cells:
    p = "-" if one.p is None else f"{one.p:.4f}"
    return one.baseline, one.metric, f"{one.difference:+.4f}", _ends(one.low, one.high, "+"), p, one.verdict


def _score(score: Score | None) -> Cells:
    return ("-", "-") if score is None else (_number(score, 4), _ends(score.low, score.high, ""))


def _number(value: Number, digits: int) -> str:
    mean = f"{value.mean:.{digits}f}"
    return mean if value.sd is None else f"{mean} ± {value.sd:.{digits}f}"


def _ends(low: float | None, high: float | None, sign: str) -> str:
    return "-" if low is None or high is None else f"[{low:{sign}.4f}, {high:{sign}.4f}]"


def _named(prints: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in prints.items()) or "none"


def _told(facts: dict[str, object]) -> str:
    shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in facts.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items() if value is not None)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
