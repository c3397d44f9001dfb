"""Every registered retrieval model keeps the contract; a new one is tested as soon as it is registered."""

from __future__ import annotations

import pytest
import torch

from mmrec_bench.models.base import MODELS
from mmrec_bench.testing.contract import CHECKS, CLEAN_CHECKS, Check
from mmrec_bench.testing.model_checks import check_on
from mmrec_bench.testing.subjects import Subject

RETRIEVAL = [name for name in MODELS if MODELS[name].task == "retrieval"]


def test_every_promised_model_is_registered() -> None:
    closed = {"popularity", "recent-popularity", "itemknn", "itemknn-content", "ease"}
    assert closed | {
        "mf",
        "lightgcn",
        "vbpr",
        "bm3",
        "freedom",
        "mgcn",
        "alignrec",
        "dragon",
        "dream",
        "lattice",
        "lgmrec",
    } <= set(RETRIEVAL)


@pytest.mark.parametrize("preset", ["clean", "released"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", RETRIEVAL)
def test_contract(name: str, check: Check, preset: str) -> None:
    check(Subject(MODELS[name], {"preset": preset}))


@pytest.mark.parametrize("check", CLEAN_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", RETRIEVAL)
def test_contract_of_the_clean_preset(name: str, check: Check) -> None:
    check(Subject(MODELS[name]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", RETRIEVAL)
def test_contract_on_cuda(name: str) -> None:
    check_on(Subject(MODELS[name]), torch.device("cuda"))
