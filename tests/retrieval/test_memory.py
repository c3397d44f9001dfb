from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.errors import ResourceError
from mmrec_bench.retrieval.base import Exclusions, Representations
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.memory import MemoryBudget, clear_memory_errors, is_out_of_memory, run_in_blocks
from mmrec_bench.retrieval.torch_backend import TorchRetriever


def test_every_user_is_served_once_in_order() -> None:
    served: list[int] = []
    run_in_blocks(10, 4, lambda window: served.extend(range(window.start, window.stop)))
    assert served == list(range(10))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("bad"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("Error in StandardGpuResources: alloc fail: cudaMalloc error out of memory"),
        RuntimeError("Storage size calculation overflowed with sizes=[2000, 4000000000000000000]"),
    ],
)
def test_blocks_are_halved_until_they_fit(error: Exception) -> None:
    served, sizes = [], []

    def serve(window: slice) -> None:
        sizes.append(window.stop - window.start)
        if sizes[-1] > 2:
            raise error
        served.extend(range(window.start, window.stop))

    run_in_blocks(11, 8, serve)
    assert served == list(range(11))
    assert sizes[:4] == [8, 4, 2, 2]


def test_halving_starts_from_what_was_tried() -> None:
    sizes = []

    def serve(window: slice) -> None:
        sizes.append(window.stop - window.start)
        if sizes[-1] > 1:
            raise MemoryError

    run_in_blocks(3, 1000, serve)
    assert sizes == [3, 1, 1, 1]


def test_no_memory_for_one_user_is_a_clear_error() -> None:
    def serve(window: slice) -> None:
        raise MemoryError("nothing left")

    with pytest.raises(ResourceError, match="single user"):
        run_in_blocks(5, 4, serve)


def test_other_errors_pass_through() -> None:
    def serve(window: slice) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        run_in_blocks(5, 4, serve)
    with pytest.raises(RuntimeError, match="a defect"), clear_memory_errors("testing"):
        raise RuntimeError("a defect")
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


def test_the_budget_names_its_numbers() -> None:
    assert MemoryBudget(2).rows(1 << 20, 1 << 10) == 1024
    with pytest.raises(ResourceError, match=r"11\.0 MiB .*retriever\.memory_mib allows 2.*at least 12"):
        MemoryBudget(2).rows(10 << 20, 1 << 20)


def test_out_of_memory_outside_of_blocks_says_what_was_done() -> None:
    with pytest.raises(ResourceError, match="while building the index"), clear_memory_errors("building the index"):
        raise MemoryError


@pytest.mark.parametrize("backend", [FaissRetriever, TorchRetriever])
def test_a_budget_below_one_user_is_refused_before_work(backend: type[FaissRetriever] | type[TorchRetriever]) -> None:
    n_items = 100_000
    vectors = Representations(torch.ones(2, 8), torch.randn(n_items, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ResourceError, match=r"retriever\.memory_mib"):
        backend(memory_mib=1).top_k(vectors, np.arange(2), 5, Exclusions.none(2), np.arange(n_items))


class _Greedy:
    """A scorer that runs out of memory on more than three users."""

    n_users, n_items = 20, 9

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        if len(users) > 3:
            raise MemoryError
        return users[:, None] * torch.arange(9.0)[None, :]


def test_a_retriever_goes_on_with_smaller_blocks() -> None:
    users = np.arange(1, 20)
    rankings = TorchRetriever().top_k(_Greedy(), users, 3, Exclusions.none(20), np.arange(9))
    assert (rankings.items == [8, 7, 6]).all()
    assert rankings.served == {"torch-cpu": 19}


def test_faiss_goes_on_with_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmrec_bench.retrieval import faiss_backend

    search = faiss_backend._Index.search

    def greedy(self: faiss_backend._Index, users: np.ndarray, reach: int) -> faiss_backend.Candidates:
        if len(users) > 5:
            raise MemoryError
        return search(self, users, reach)

    monkeypatch.setattr(faiss_backend._Index, "search", greedy)
    vectors = Representations(torch.arange(1.0, 22.0)[:, None], torch.arange(50.0)[:, None])
    rankings = FaissRetriever().top_k(vectors, np.arange(21), 2, Exclusions.none(21), np.arange(50))
    assert (rankings.items == [49, 48]).all()
    assert rankings.served == {"faiss-cpu": 21}
