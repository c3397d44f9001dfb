from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mmrec_bench.graph.sparse import CsrBuffers, SparseOperator


@pytest.fixture
def matrix() -> sp.csr_matrix:
    dense = np.random.default_rng(2).standard_normal((6, 4))
    dense[np.abs(dense) < 0.7] = 0.0
    dense[2] = 0.0
    return sp.csr_matrix(dense)


def test_products_and_their_gradients(matrix: sp.csr_matrix) -> None:
    operator = SparseOperator(matrix).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    base = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    product = matrix.astype(np.float32) @ x.detach().numpy()
    np.testing.assert_allclose(operator(x).detach().numpy(), product)
    np.testing.assert_allclose(operator(x, base=base).detach().numpy(), base.detach().numpy() + product)
    assert torch.autograd.gradcheck(operator, (x,))
    assert torch.autograd.gradcheck(operator, (x, base))
    assert torch.autograd.gradcheck(operator, (x.detach(), base))


def test_rows_of_products_are_those_of_the_whole(matrix: sp.csr_matrix) -> None:
    operator = SparseOperator(matrix)
    x = torch.randn(4, 3, requires_grad=True)
    for ids in (torch.tensor([5, 2, 0, 5]), torch.tensor([2]), torch.arange(6), torch.zeros(0, dtype=torch.int64)):
        some, whole = operator.rows(ids, x), operator(x)[ids]
        torch.testing.assert_close(some, whole)
        gradient = torch.randn(len(ids), 3)
        torch.testing.assert_close(*(torch.autograd.grad(rows, x, gradient)[0] for rows in (some, whole)))


def test_gradient_is_asked_for_only_where_it_is_needed(matrix: sp.csr_matrix) -> None:
    operator = SparseOperator(matrix)
    base = torch.zeros(6, 2, requires_grad=True)
    operator(torch.ones(4, 2), base=base).sum().backward()
    assert torch.equal(base.grad, torch.ones(6, 2))


def test_unsorted_matrices_are_read_rightly() -> None:
    matrix = sp.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3))
    assert CsrBuffers(matrix).tensor().to_dense().tolist() == [[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]


def test_matrices_share_memory_with_their_buffers(matrix: sp.csr_matrix) -> None:
    buffers = CsrBuffers(matrix)
    assert buffers.tensor().values().data_ptr() == buffers.values.data_ptr()
    assert buffers.columns.dtype == torch.int32


def test_nothing_is_said_about_beta_support() -> None:
    code = (
        "import scipy.sparse as sp, torch; from mmrec_bench.graph.sparse import SparseOperator; "
        "import warnings; warnings.simplefilter('error'); SparseOperator(sp.eye(3, format='csr'))(torch.ones(3, 2))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
