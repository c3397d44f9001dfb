"""Whether a model trained by several processes is the model that one process trains: asked of its first batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import GradientModel, LossTerms
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.batches import BatchSource
from mmrec_bench.training.steps import total_loss
from mmrec_bench.training.team import Team, cut, rows_of

TOLERANCE = 1e-4
"""Largest difference, relative to the size of what differs, that counts as rounding of 32-bit numbers."""
VANISHING = 1e-3
"""What is smaller than this share of all of its kind, such as the gradient of a number that shifts all scores alike,
is the rounding of the rest."""
ROWS_EACH = 512
"""Rows of the batch for each process, at most; whoever has all rows must hold them all."""


def check_shares(model: GradientModel, source: BatchSource, seeds: Seeds, team: Team) -> None:
    """Refuse a model whose shared loss is another than that of one process.

    Every process computes loss, gradients and buffers of some rows once by itself and once with the others. So no model
    has to say of itself that it can be shared, and none that cannot, such as one with batch normalisation, becomes
    another model. The model is left as it was, without gradients.

    Raises:
        ModelError: Names what differs.
    """
    if team.size == 1:
        return
    state = {name: value.clone() for name, value in model.state_dict().items()}
    batch = next(iter(source.epoch(0)))
    n_rows = min(rows_of(batch), ROWS_EACH * team.size)
    # One row less than would be the same for all: shares of different sizes are the harder case.
    batch = cut(batch, slice(n_rows - 1 if n_rows % team.size == 0 and n_rows > team.size else n_rows))
    try:
        alone = _measured(model, seeds, partial(model.loss, batch), Team())
        model.load_state_dict(state)
        shared = _measured(model, seeds, team.losses(model, batch), team)
    finally:
        model.load_state_dict(state)
        model.zero_grad(set_to_none=True)
    differing = [name for name in alone if not _agree(alone, shared, name)]
    # Rounding may differ from one process to the next, and all must come to the same decision.
    votes = team.total(torch.tensor(float(len(differing)), device=next(model.parameters()).device))
    if votes > 0:
        raise ModelError(
            f"{type(model).__name__} cannot be trained by {team.size} processes: what they compute together "
            "differs from what one computes of the same rows: "
            f"{', '.join(differing[:3]) or 'seen by another process'}. Its loss is no mean over the rows of a batch, "
            "or draws for them, in a way that mmrec_bench.row_share does not know. Train it by one process"
        )


def _measured(model: GradientModel, seeds: Seeds, losses: Callable[[], LossTerms], team: Team) -> dict[str, Tensor]:
    """Return everything that one batch does: loss terms, gradients, buffers, and the next random number."""
    seeds.seed_global("epoch", 0)
    model.zero_grad(set_to_none=True)
    model.train()
    model.on_epoch_start(0)
    terms = losses()
    total_loss(terms).backward()  # type: ignore[no-untyped-call]
    parameters = dict(model.named_parameters())
    team.add_up([parameter for parameter in parameters.values() if parameter.requires_grad])
    measured = {f"loss term '{name}'": team.total(term.detach().clone()) for name, term in terms.items()}
    measured |= {f"gradient of '{name}'": p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    measured |= {f"buffer '{name}'": buffer.clone() for name, buffer in _saved_buffers(model).items()}
    device = next(iter(parameters.values())).device
    return measured | {"random numbers drawn": torch.rand((), device=device)}


def _saved_buffers(model: nn.Module) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: value for name, value in model.state_dict().items() if name not in parameters}


def _agree(alone: Mapping[str, Tensor], shared: Mapping[str, Tensor], name: str) -> bool:
    """Return whether one thing is the same, measured by its own size or, if that all but vanishes, by its kind's."""
    if name not in shared or alone[name].shape != shared[name].shape:
        return False
    kind = name.partition(" '")[0]
    size_of_kind = math.hypot(*(_size(value) for key, value in alone.items() if key.startswith(kind)))
    scale = max(_size(alone[name]), VANISHING * size_of_kind)
    return _size(alone[name] - shared[name]) <= TOLERANCE * scale


def _size(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values.double()))
