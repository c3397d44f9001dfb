"""Which chunks of which modalities are masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmrec_bench.errors import ModelError


def masks_per_modality(ratio: float | Mapping[str, float], modalities: Sequence[str], n_chunks: int) -> list[int]:
    """Return how many chunks of each modality are masked: the ratio, rounded, but neither none nor all.

    Raises:
        ModelError: The ratios are given by modality, and not for exactly these.
    """
    if not isinstance(ratio, Mapping):
        ratio = dict.fromkeys(modalities, ratio)
    if set(ratio) != set(modalities):
        raise ModelError(
            f"mask_ratio must be one number, or name exactly the modalities {', '.join(modalities)}; "
            f"got {', '.join(sorted(ratio)) or 'none'}"
        )
    return [min(max(round(ratio[modality] * n_chunks), 1), n_chunks - 1) for modality in modalities]


def draw_masks(
    present: Tensor, n_masked: Sequence[int], n_chunks: int, whole: float, generator: torch.Generator | None
) -> Tensor:
    """Draw the masks of a batch.

    Args:
        present: Which item has which modality, bool ``[B, M]``; one that is lacking is masked as a whole.
        n_masked: Chunks that are masked in each modality.
        n_chunks: Chunks P of each modality.
        whole: Probability that one modality of an item that has several is masked as a whole.
        generator: Where the draws come from, on the device of ``present``; None is the global one.

    Returns:
        bool ``[B, M, P]``.
    """
    n_items, n_modalities = present.shape
    device = present.device
    noise = torch.rand(n_items, n_modalities, n_chunks + 2, generator=generator, device=device)
    ranks = noise[..., :n_chunks].argsort(dim=-1).argsort(dim=-1)
    masked = ranks < torch.tensor(n_masked, device=device).unsqueeze(1)
    happens = (noise[:, 0, n_chunks] < whole) & (present.sum(dim=1) > 1)
    chosen = torch.where(present, noise[..., n_chunks + 1], -1.0).argmax(dim=1)
    lost = happens.unsqueeze(1) & (torch.arange(n_modalities, device=device) == chosen.unsqueeze(1))
    return masked | (lost | ~present).unsqueeze(-1)
