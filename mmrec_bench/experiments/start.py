"""Continued training: weights of a finished run, put into a model that may have an extra slot more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mmrec_bench.errors import ArtefactError
from mmrec_bench.models.ctr.fields import ExtraSlot


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file.

    Raises:
        ArtefactError: It cannot be read.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path}: cannot be read: {error}") from None


def continue_from(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Put weights into a model; an extra slot that they lack stays as it is, zero, and so changes no prediction.

    Args:
        model: Freshly built.
        weights: Of a model that differs from it in the extra slot at most.
        where: Where they are from, for messages.

    Raises:
        ArtefactError: They belong to another model.
    """
    parts = [(name, part) for name, part in model.named_modules() if isinstance(part, ExtraSlot)]
    slots = {f"{name}.{key}" for name, part in parts for key in part.state_dict()}
    own = model.state_dict()
    lacking, unknown = set(own) - set(weights) - slots, set(weights) - set(own)
    shapes = {name for name in set(own) & set(weights) if own[name].shape != weights[name].shape}
    if wrong := sorted(lacking | unknown | shapes):
        raise ArtefactError(
            f"inputs.start: the weights of {where} are of another model; what differs: {', '.join(wrong[:5])}"
            f"{', ...' * (len(wrong) > 5)}. Only an extra slot may be new: use the settings of the model they are from"
        )
    model.load_state_dict(dict(weights), strict=False)
