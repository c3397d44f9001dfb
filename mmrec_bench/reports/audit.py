"""The leak audit in words: rows for the terminal, and one sentence under the tables of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmrec_bench.audit import CHECKS, VERDICTS, Audit
from mmrec_bench.reports.collect import Row


def audit_rows(audit: Audit) -> list[tuple[str, str, str]]:
    """Return verdict, check and finding of each check, worst first; below a bad one its numbers and examples."""
    rows = []
    for name, found in sorted(audit.findings.items(), key=lambda pair: VERDICTS.index(pair[1].verdict)):
        rows.append((found.verdict.upper() if found.verdict != "not applicable" else "n/a", name, found.message))
        if found.verdict in ("fail", "warn"):
            rows.append(("", "", f"asks: {CHECKS[name].question}"))
            rows += [("", "", numbers) for numbers in _numbers(found.counts)]
            rows += [("", "", f"such as: {example}") for example in found.examples]
    return rows


def audit_facts(rows: Sequence[Row]) -> list[str]:
    """Return one sentence on what the audits of runs found that is bad, with the rows it is about where they differ."""
    told: dict[str, list[str]] = {}
    for row in rows:
        told.setdefault(_sentence(row.runs[0].manifest.get("audit")), []).append(row.label)
    return [
        sentence + (f" ({', '.join(labels)})." if len(told) > 1 else ".")
        for sentence, labels in told.items()
        if sentence
    ]


def _sentence(audit: Mapping[str, Mapping[str, str]] | None) -> str:
    """Return the sentence without its full stop; nothing where all is well, or nothing was audited."""
    if not audit or not audit["messages"]:
        return ""
    checks, messages = audit["checks"], audit["messages"]
    bad = sorted(messages, key=lambda name: VERDICTS.index(checks[name]))
    return "Leak audit: " + "; ".join(f"{checks[name].upper()} {name} ({messages[name]})" for name in bad)


def _numbers(counts: Mapping[str, float]) -> list[str]:
    """Return one line of numbers for each group, the part of a name before its slash."""
    groups: dict[str, list[str]] = {}
    for name, value in counts.items():
        group, _, what = name.rpartition("/")
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        groups.setdefault(group, []).append(f"{what.replace('_', ' ')} {shown}")
    return [(f"{group}: " if group else "") + ", ".join(numbers) for group, numbers in groups.items()]
