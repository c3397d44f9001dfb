"""Every registered retrieval model keeps the contract; a new one is tested as soon as it is registered."""

from __future__ import annotations

import pytest
import torch

from mmrec_bench.testing.contract import CHECKS, CLEAN_CHECKS, Check
from mmrec_bench.testing.model_checks import check_on
from mmrec_bench.testing.subjects import Subject, every_subject

CLEAN, RELEASED = every_subject("clean"), every_subject("released")


CLOSED = {"popularity", "recent-popularity", "itemknn", "itemknn-content", "ease"}
COLLABORATIVE = {"mf", "lightgcn", "layergcn", "selfcf", "directau", "simgcl"}
MULTIMODAL = {"vbpr", "bm3", "freedom", "mgcn", "lattice", "lgmrec", "dragon", "mmgcf", "mmgcn", "grcn", "mvgae"}
MULTIMODAL |= {"dualgnn", "slmrec", "smore", "pgl", "da-mrs", "alignrec", "dream", "motor"}
PROMISED = CLOSED | COLLABORATIVE | MULTIMODAL


def test_every_promised_model_is_registered() -> None:
    assert {subject.entry.name for subject in CLEAN} >= PROMISED


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("subject", [*CLEAN, *RELEASED], ids=str)
def test_contract(subject: Subject, check: Check) -> None:
    check(subject)


@pytest.mark.parametrize("check", CLEAN_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("subject", CLEAN, ids=str)
def test_contract_of_the_clean_preset(subject: Subject, check: Check) -> None:
    check(subject)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("subject", CLEAN, ids=str)
def test_contract_on_cuda(subject: Subject) -> None:
    check_on(subject, torch.device("cuda"))
