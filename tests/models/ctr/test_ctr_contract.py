"""Every registered CTR model keeps the contract."""

from __future__ import annotations

import pytest

from mmrec_bench.models.base import MODELS
from mmrec_bench.testing.contract import Check
from mmrec_bench.testing.ctr_checks import CTR_CHECKS, check_ctr
from mmrec_bench.testing.subjects import Subject

NAMES = [name for name in MODELS if MODELS[name].task == "ctr"]


@pytest.mark.parametrize("check", CTR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, check: Check) -> None:
    check(Subject(MODELS[name]))


def test_the_stacked_dcn_keeps_it_too() -> None:
    check_ctr("dcn-v2", structure="stacked", dropout=0.3)
