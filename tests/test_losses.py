from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench import losses
from mmrec_bench.losses import bpr, cosine_alignment, dot, embedding_l2, gram_vs_cosine, info_nce, uniformity


def rows(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_dot() -> None:
    assert dot(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[3.0, 4.0], [5.0, -1.0]])).tolist() == [11, -3]


def test_bpr_is_the_mean_log_loss() -> None:
    positive, negative = rows(0, 7), rows(1, 7)
    expected = -np.log(1 / (1 + np.exp(-(positive - negative).numpy()))).mean()
    assert bpr(positive, negative).item() == pytest.approx(expected)
    assert bpr(positive, positive).item() == pytest.approx(math.log(2))


def test_bpr_neither_overflows_nor_goes_deaf() -> None:
    positive = torch.tensor([-500.0, 500.0], requires_grad=True)
    loss = bpr(positive, torch.zeros(2))
    loss.backward()
    assert loss.item() == pytest.approx(250.0)
    assert positive.grad is not None
    assert positive.grad.tolist() == pytest.approx([-0.5, 0.0])


def test_info_nce_against_a_loop() -> None:
    anchors, targets, tau = rows(2, 5, 3), rows(3, 5, 3), 0.2
    a, b = (x.numpy() / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchors, targets))
    expected = [
        -math.log(math.exp(a[r] @ b[r] / tau) / sum(math.exp(a[r] @ b[s] / tau) for s in range(5))) for r in range(5)
    ]
    assert info_nce(anchors, targets, tau).item() == pytest.approx(float(np.mean(expected)))


def test_info_nce_of_equal_rows_is_log_n_and_survives_cold_temperatures() -> None:
    assert info_nce(torch.ones(6, 4), torch.ones(6, 4), 0.2).item() == pytest.approx(math.log(6))
    loss = info_nce(torch.eye(4), -torch.eye(4), 1e-4)
    assert loss.item() == pytest.approx(1e4 + math.log(3), rel=1e-5)


@pytest.mark.parametrize("tau", [0.2, 0.02])
@pytest.mark.parametrize("block", [1, 7, 15, 1000])
@pytest.mark.parametrize("few", [0, 16])
def test_info_nce_does_not_depend_on_blocks(few: int, block: int, tau: float, monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, targets = rows(2, 5, 3).requires_grad_(), rows(3, 5, 3).requires_grad_()
    logits = torch.nn.functional.normalize(anchors) @ torch.nn.functional.normalize(targets).T / tau
    plain = torch.nn.functional.cross_entropy(logits, torch.arange(5))
    expected = torch.autograd.grad(2 * plain, (anchors, targets))
    monkeypatch.setattr(losses._SoftmaxOfRows, "BLOCK_VALUES", block)
    monkeypatch.setattr(losses._SoftmaxOfRows, "BLOCK_ROWS", 1)
    monkeypatch.setattr(losses._SoftmaxOfRows, "FEW_COLUMNS", few)
    loss = info_nce(anchors, targets, tau)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(2 * loss, (anchors, targets)), expected)


@pytest.mark.parametrize("tau", [0.2, 0.02])
def test_info_nce_of_counted_rows_is_that_of_the_repeated_ones(tau: float) -> None:
    anchors, targets = rows(2, 5, 3).requires_grad_(), rows(3, 5, 3).requires_grad_()
    counts = torch.tensor([1, 3, 2, 1, 1])
    repeated = torch.arange(5).repeat_interleave(counts)
    once = info_nce(anchors, targets, tau, counts)
    often = info_nce(anchors[repeated], targets[repeated], tau)
    torch.testing.assert_close(once, often)
    torch.testing.assert_close(
        torch.autograd.grad(once, (anchors, targets)), torch.autograd.grad(often, (anchors, targets))
    )


@pytest.mark.parametrize("tau", [0.2, 0.02])
@pytest.mark.parametrize("block", [1, 7, 15, 1000])
def test_info_nce_among_all_rows(block: int, tau: float, monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, targets = rows(2, 4, 3).requires_grad_(), rows(3, 9, 3).requires_grad_()
    positives, counts = torch.tensor([8, 0, 3, 0]), torch.tensor([1, 3, 2, 1])
    logits = torch.nn.functional.normalize(anchors) @ torch.nn.functional.normalize(targets).T / tau
    repeated = torch.arange(4).repeat_interleave(counts)
    plain = torch.nn.functional.cross_entropy(logits[repeated], positives[repeated])
    expected = torch.autograd.grad(2 * plain, (anchors, targets))
    monkeypatch.setattr(losses._SoftmaxOfRows, "BLOCK_VALUES", block)
    monkeypatch.setattr(losses._SoftmaxOfRows, "BLOCK_ROWS", 1)
    loss = info_nce(anchors, targets, tau, counts, positives)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(2 * loss, (anchors, targets)), expected)
    torch.testing.assert_close(info_nce(anchors[repeated], targets, tau, positives=positives[repeated]), plain)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_softmax_contrast_of_any_logits(scale: float) -> None:
    queries, keys = (scale * rows(2, 4, 3)).requires_grad_(), rows(3, 9, 3).requires_grad_()
    positives = torch.tensor([8, 0, 3, 0])
    plain = torch.nn.functional.cross_entropy(queries @ keys.T, positives)
    loss = losses.softmax_contrast(queries, keys, positives=positives)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(loss, (queries, keys)), torch.autograd.grad(plain, (queries, keys)))


def test_cosine_alignment_has_known_ends() -> None:
    x = rows(4, 6, 3)
    assert cosine_alignment(x, 5 * x).item() == pytest.approx(0.0, abs=1e-9)
    assert cosine_alignment(x, -x).item() == pytest.approx(2.0)
    assert cosine_alignment(torch.zeros(2, 3), torch.ones(2, 3)).item() == 1.0


def test_gram_vs_cosine() -> None:
    h, f = rows(5, 4, 3), rows(6, 4, 8)
    unit = f.numpy() / np.linalg.norm(f, axis=1, keepdims=True)
    expected = np.linalg.norm(h.numpy() @ h.numpy().T - unit @ unit.T) / 4
    assert gram_vs_cosine(h, f).item() == pytest.approx(expected)
    isometry = torch.linalg.qr(rows(7, 12, 8)).Q.T  # orthonormal rows: an isometry into 12 dimensions
    assert gram_vs_cosine(torch.nn.functional.normalize(f) @ isometry, f).item() == pytest.approx(
        0.0, abs=1e-7
    )  # root of eps


@pytest.mark.parametrize("dim", [3, 20])
def test_gram_vs_cosine_of_a_batch_that_repeats_rows(dim: int) -> None:
    h, f, counts = rows(5, 6, 3).requires_grad_(), rows(6, 6, dim), torch.tensor([1, 3, 1, 2, 1, 4])
    f[2] = 0.0
    repeated = torch.arange(6).repeat_interleave(counts)
    once, whole = gram_vs_cosine(h, f, counts), gram_vs_cosine(h[repeated], f[repeated])
    assert once.item() == pytest.approx(whole.item())
    assert torch.allclose(*(torch.autograd.grad(loss, h)[0] for loss in (once, whole)))
    unit = torch.nn.functional.normalize(f)[repeated]
    slow = torch.linalg.norm(h[repeated] @ h[repeated].T - unit @ unit.T) / 12
    assert once.item() == pytest.approx(slow.item())


def test_gram_vs_cosine_leaves_out_rows_that_count_nothing() -> None:
    h, f = rows(5, 4, 3).requires_grad_(), rows(6, 4, 8)
    kept = torch.tensor([1, 0, 2, 0])
    h_kept = h[kept > 0].detach()
    assert gram_vs_cosine(h, f, kept).item() == pytest.approx(
        gram_vs_cosine(h_kept, f[kept > 0], kept[kept > 0]).item()
    )
    nothing = gram_vs_cosine(h, f, torch.zeros(4))
    nothing.backward()
    assert nothing.item() == pytest.approx(0.0, abs=1e-12)
    assert h.grad is not None
    assert not h.grad.any()


@pytest.mark.parametrize(("n", "dim"), [(600, 700), (700, 300)])
def test_gram_vs_cosine_in_blocks(n: int, dim: int) -> None:
    h, f = 0.1 * rows(5, n, 3), rows(6, n, dim)
    unit = torch.nn.functional.normalize(f.double())
    slow = torch.linalg.norm(h.double() @ h.double().T - unit @ unit.T) / n
    assert gram_vs_cosine(h, f).item() == pytest.approx(slow.item(), rel=1e-5)


def test_gram_vs_cosine_holds_the_references_fixed() -> None:
    h, f = rows(5, 4, 3).requires_grad_(), rows(6, 4, 8).requires_grad_()
    gram_vs_cosine(h, f).backward()
    assert h.grad is not None
    assert f.grad is None


def test_both_forms_of_the_regulariser() -> None:
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0], [1.0, 2.0]])
    assert embedding_l2(x, y, divisor=2).item() == pytest.approx(0.5 * (25 + 9) / 2)
    assert embedding_l2(x, y, divisor=2, form="frobenius").item() == pytest.approx((5 + 3) / 2)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: bpr(dot(x, y), dot(y, y)),
        lambda x, y: info_nce(x, y, 0.2),
        lambda x, y: info_nce(y, x, 0.2),
        lambda x, y: info_nce(x, y, 0.02),
        cosine_alignment,
        gram_vs_cosine,
        lambda x, y: embedding_l2(x, y, divisor=3),
        lambda x, y: embedding_l2(x, y, divisor=3, form="frobenius"),
    ],
    ids=[
        "bpr",
        "info_nce",
        "info_nce targets",
        "cold info_nce",
        "cosine_alignment",
        "gram_vs_cosine",
        "squared",
        "frobenius",
    ],
)
def test_gradients_are_right_and_finite_at_zero(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, y = rows(8, 3, 4).requires_grad_(), rows(9, 3, 4)
    assert torch.autograd.gradcheck(lambda x: loss(x, y), (x,))
    zero = torch.zeros(3, 4, requires_grad=True)
    value = loss(zero, torch.zeros(3, 4))
    value.backward()
    assert torch.isfinite(value)
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_uniformity_against_pairwise_distances(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(8, 9, 4).requires_grad_()
    unit = x / x.norm(dim=1, keepdim=True)
    expected = torch.pdist(unit).square().mul(-2).exp().mean().log()
    monkeypatch.setattr(losses._SumOverPairs, "BLOCK_VALUES", block)
    loss = uniformity(x)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, x), torch.autograd.grad(3 * expected, x))


def test_uniformity_of_counted_rows_is_that_of_the_repeated_ones() -> None:
    x, counts = rows(9, 5, 3).requires_grad_(), torch.tensor([1, 3, 2, 1, 1])
    once, often = uniformity(x, counts), uniformity(x[torch.arange(5).repeat_interleave(counts)])
    torch.testing.assert_close(once, often)
    torch.testing.assert_close(torch.autograd.grad(once, x), torch.autograd.grad(often, x))


def test_uniformity_has_known_ends() -> None:
    corners = torch.tensor([[2.0, 0.0], [-3.0, 0.0]], dtype=torch.float64)
    assert uniformity(corners).item() == pytest.approx(-8.0)  # opposite directions have the squared distance 4
    assert uniformity(torch.ones(4, 3)).item() == pytest.approx(0.0, abs=1e-6)
    alone = torch.ones(1, 3, requires_grad=True)
    loss = uniformity(alone)
    loss.backward()
    assert loss.item() == 0.0
    assert alone.grad is not None
    assert not alone.grad.any()
    with_zeros = torch.zeros(3, 2, requires_grad=True)
    uniformity(with_zeros).backward()
    assert with_zeros.grad is not None
    assert torch.isfinite(with_zeros.grad).all()
