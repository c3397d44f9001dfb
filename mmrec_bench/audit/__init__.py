"""The leak audit: does a split let a model learn from what it is judged on? Checks of data, never of models."""

from __future__ import annotations

# Importing a module registers its checks.
import mmrec_bench.audit.counting
import mmrec_bench.audit.fields
import mmrec_bench.audit.filters
import mmrec_bench.audit.graphs
import mmrec_bench.audit.knowing
import mmrec_bench.audit.pairs
import mmrec_bench.audit.queries
import mmrec_bench.audit.times
import mmrec_bench.audit.twins  # noqa: F401
from mmrec_bench.audit.base import CHECKS, VERDICTS, Audit, Check, Finding, Verdict, audit
from mmrec_bench.audit.subject import CHEAP, Kind, Made, Subject, kind_of

__all__ = [
    "CHEAP",
    "CHECKS",
    "VERDICTS",
    "Audit",
    "Check",
    "Finding",
    "Kind",
    "Made",
    "Subject",
    "Verdict",
    "audit",
    "kind_of",
]
