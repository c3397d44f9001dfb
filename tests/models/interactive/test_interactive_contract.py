"""Every registered interactive system keeps the contract, and the contract catches who breaks it."""

from __future__ import annotations

import pytest

from mmrec_bench.models.base import MODELS
from mmrec_bench.testing.contract import Check
from mmrec_bench.testing.interactive_checks import INTERACTIVE_CHECKS
from mmrec_bench.testing.subjects import Subject

NAMES = [name for name in MODELS if MODELS[name].task == "interactive"]
VARIANTS = [
    *(Subject(MODELS[name], {"preset": preset}) for name in NAMES for preset in ("clean", "released")),
    Subject(MODELS["core"], {"ask": "attributes"}),
    Subject(MODELS["magus-fixed"], {"guess": "score", "normalisation": "by-relation"}),
    Subject(
        MODELS["magus"], {"guess": "queries", "update": "scores", "anchor": "first", "normalisation": "by-relation"}
    ),
    Subject(MODELS["magus"], {"inhibition": 0.0}),
]


def test_every_promised_system_is_registered() -> None:
    assert {"magus", "magus-fixed", "core", "item-only", "query-only", "random"} <= set(NAMES)


@pytest.mark.parametrize("check", INTERACTIVE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "subject", VARIANTS, ids=lambda subject: "-".join([subject.entry.name, *map(str, subject.options.values())])
)
def test_contract(subject: Subject, check: Check) -> None:
    check(subject)
