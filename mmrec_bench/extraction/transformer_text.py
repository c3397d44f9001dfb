"""Any transformers model as an encoder of texts, with the pooling that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from mmrec_bench.errors import DataError
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder
from mmrec_bench.extraction.weights import PretrainedConfig, built
from mmrec_bench.extras import import_transformers
from mmrec_bench.types import FloatArray

TextPooling: TypeAlias = Literal["mean", "cls", "last", "projected"]
"""``mean`` of the last states of all tokens; ``cls``, that of the first token; ``last``, that of the last one, as
decoders need; ``projected``, the text vector of a model of text and image (CLIP, SigLIP)."""


class TransformersTextConfig(PretrainedConfig):
    """A model of the package transformers; which pooling fits is a property of its training."""

    modality = "text"
    version = 2

    name: Literal["transformers"] = "transformers"
    pooling: TextPooling = "mean"
    """How the states of tokens become one vector."""
    prompt: str = ""
    """Put before every text."""
    max_length: PositiveInt | None = None
    """Tokens after which a text is cut; the tokenizer's own bound by default, at most 512."""
    normalise: bool = True
    """Whether vectors are scaled to unit length."""

    def build(self, device: torch.device) -> ContentEncoder[str]:
        """Return the encoder with its weights on a device."""
        return TransformersTextEncoder(self, device)


class TransformersTextEncoder(ContentEncoder[str]):
    """A transformers model with pooling.

    Args:
        config: Its settings.
        device: Where it computes.
    """

    def __init__(self, config: TransformersTextConfig, device: torch.device) -> None:
        super().__init__()
        library = import_transformers()
        folder = config.folder()
        told = {"local_files_only": True, "trust_remote_code": False}
        self._config, self._device = config, device
        self._tokenizer: Any = built(folder, lambda: library.AutoTokenizer.from_pretrained(folder, **told))
        self._model: Any = built(
            folder,
            lambda: library.AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **told),
        )
        self._model = self._model.to(device).eval()
        # The texts of a model of text and image, or the encoder of one that writes; the whole asks for more than texts.
        inner = getattr(self._model, "text_model", None)
        if inner is None and self._model.config.is_encoder_decoder:
            inner = self._model.get_encoder()
        self._states: Any = self._model if inner is None else inner
        # SigLIP was trained on texts of one length, and its vector is the state at the last place, padded or not.
        text_config = getattr(self._model.config, "text_config", self._model.config)
        self._one_length = str(getattr(text_config, "model_type", "")).startswith("siglip")
        if config.pooling == "projected" and not hasattr(self._model, "get_text_features"):
            raise DataError(
                f"{folder}: {type(self._model).__name__} has no projected text vector; set encoder.pooling to mean, "
                "cls or last"
            )
        if self._tokenizer.pad_token is None:  # decoders have none; what is masked is never looked at
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "right"
        self._longest = min(config.max_length or 512, int(self._tokenizer.model_max_length))

    @torch.inference_mode()
    def encode(self, contents: Sequence[str]) -> FloatArray:
        """Return vectors, float32 ``[n, d]``."""
        texts = [self._config.prompt + text for text in contents]
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # so that little is padded
        size = self._config.batch_size
        parts = [
            self._batch([texts[row] for row in order[start : start + size]]) for start in range(0, len(order), size)
        ]
        found = np.concatenate(parts)
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    def _batch(self, texts: Sequence[str]) -> FloatArray:
        tokens = self._tokens(texts, self._longest + 1, padding=True)
        if cut := int((tokens["attention_mask"].sum(dim=1) > self._longest).sum()):
            self.counts[f"cut at {self._longest} tokens"] += cut
        if cut or self._one_length:
            tokens = self._tokens(texts, self._longest, padding="max_length" if self._one_length else True)
        tokens = tokens.to(self._device)
        told = {"input_ids": tokens["input_ids"]} if self._one_length else dict(tokens)
        if self._config.pooling == "projected":
            found = self._model.get_text_features(**told)
            vectors = found if isinstance(found, Tensor) else found.pooler_output
        else:
            vectors = self._pooled(self._states(**told).last_hidden_state, tokens["attention_mask"])
        if self._config.normalise:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _tokens(self, texts: Sequence[str], longest: int, padding: bool | str) -> Any:
        return self._tokenizer(
            list(texts),
            truncation=True,
            max_length=longest,
            padding=padding,
            return_tensors="pt",
            return_attention_mask=True,
        )

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return one vector a text of the states of its tokens ``[n, t, d]``, padded on the right."""
        if self._config.pooling == "cls":
            return states[:, 0]
        if self._config.pooling == "last":
            return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)


CONTENT_ENCODERS.register("transformers", TransformersTextConfig)
