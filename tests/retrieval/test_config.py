from __future__ import annotations

import sys

import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.errors import MissingExtraError
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever

CPU = torch.device("cpu")


def test_the_configured_back_end_is_built_with_its_budget() -> None:
    assert isinstance(build_retriever(RetrieverConfig(), CPU), FaissRetriever)
    made = build_retriever(RetrieverConfig(backend="torch", memory_mib=64), CPU)
    assert isinstance(made, TorchRetriever)
    assert made.budget.mebibytes == 64


@pytest.mark.parametrize("wrong", [{"backend": "annoy"}, {"memory_mib": 0}, {"memory": 5}])
def test_other_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetrieverConfig.model_validate(wrong)


def test_without_faiss_both_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"mmrec-bench\[cpu\].*mmrec-bench\[gpu\].*backend to torch"):
        build_retriever(RetrieverConfig(), CPU)
    assert isinstance(build_retriever(RetrieverConfig(backend="torch"), CPU), TorchRetriever)
