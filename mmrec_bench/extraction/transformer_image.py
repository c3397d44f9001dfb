"""Any image model of transformers, such as CLIP, SigLIP, DINO or ViT, as an encoder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.errors import DataError
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder
from mmrec_bench.extraction.weights import PretrainedConfig, built
from mmrec_bench.extras import import_transformers
from mmrec_bench.types import FloatArray

ImagePooling: TypeAlias = Literal["projected", "pooler", "cls", "mean"]
"""``projected``, the image vector of a model of text and image (CLIP, SigLIP); ``pooler``, the model's own pooled
vector; ``cls``, the last state of the first token (DINO, ViT); ``mean`` of the last states of all tokens."""


class TransformersImageConfig(PretrainedConfig):
    """A model of the package transformers, with the image processor that lies beside its weights."""

    modality = "image"

    name: Literal["transformers-image"] = "transformers-image"
    pooling: ImagePooling = "projected"
    """How the states of patches become one vector."""
    normalise: bool = True
    """Whether vectors are scaled to unit length."""

    def build(self, device: torch.device) -> ContentEncoder[Any]:
        """Return the encoder with its weights on a device."""
        return TransformersImageEncoder(self, device)


class TransformersImageEncoder(ContentEncoder[Any]):
    """A transformers model of pictures.

    Args:
        config: Its settings.
        device: Where it computes.
    """

    def __init__(self, config: TransformersImageConfig, device: torch.device) -> None:
        super().__init__()
        library = import_transformers()
        folder = config.folder()
        told = {"local_files_only": True, "trust_remote_code": False}
        self._config, self._device, self.at_once = config, device, config.batch_size
        self._processor: Any = built(folder, lambda: library.AutoImageProcessor.from_pretrained(folder, **told))
        self._model: Any = built(
            folder,
            lambda: library.AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **told),
        )
        self._model = self._model.to(device).eval()
        projects = hasattr(self._model, "get_image_features")
        if config.pooling == "projected" and not projects:
            raise DataError(
                f"{folder}: {type(self._model).__name__} has no projected image vector; set encoder.pooling to "
                "pooler, cls or mean"
            )
        if config.pooling != "projected" and projects:
            self._model = self._model.vision_model  # the half that sees; the other one reads texts

    @torch.inference_mode()
    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return vectors of pictures in RGB, float32 ``[n, d]``."""
        pixels = self._processor(images=list(contents), return_tensors="pt")["pixel_values"].to(self._device)
        if self._config.pooling == "projected":
            found = self._model.get_image_features(pixel_values=pixels)
            vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        else:
            states = self._model(pixel_values=pixels)
            vectors = self._pooled(states)
        if self._config.normalise:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _pooled(self, states: Any) -> Tensor:
        pooling = self._config.pooling
        if pooling == "pooler":
            pooled = getattr(states, "pooler_output", None)
            if not isinstance(pooled, Tensor):
                raise DataError(
                    f"{type(self._model).__name__} has no pooled vector of its own; set encoder.pooling to cls or mean"
                )
            return pooled.flatten(1)
        last: Tensor = states.last_hidden_state
        if last.dim() == 4:  # a convolutional network: [n, channels, height, width]
            last = last.flatten(2).transpose(1, 2)
        return last[:, 0] if pooling == "cls" else last.mean(dim=1)


CONTENT_ENCODERS.register("transformers-image", TransformersImageConfig)
