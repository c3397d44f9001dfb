"""Any sentence-transformers model as an encoder of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt

from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder
from mmrec_bench.extraction.weights import PretrainedConfig, built
from mmrec_bench.extras import import_sentence_transformers
from mmrec_bench.types import FloatArray


class SentenceTransformersConfig(PretrainedConfig):
    """Sentence-BERT and what came after it, pooled as the model says.

    Reimers and Gurevych, Sentence-BERT, EMNLP 2019, https://arxiv.org/abs/1908.10084
    """

    modality = "text"

    name: Literal["sentence-transformers"] = "sentence-transformers"
    prompt: str = ""
    """Put before every text, as some models were trained to read: ``"passage: "``."""
    max_length: PositiveInt | None = None
    """Tokens after which a text is cut; the model's own bound by default."""
    normalise: bool = True
    """Whether vectors are scaled to unit length."""

    def build(self, device: torch.device) -> ContentEncoder[str]:
        """Return the encoder with its weights on a device."""
        return SentenceEncoder(self, device)


class SentenceEncoder(ContentEncoder[str]):
    """A sentence-transformers model.

    Args:
        config: Its settings.
        device: Where it computes.
    """

    def __init__(self, config: SentenceTransformersConfig, device: torch.device) -> None:
        super().__init__()
        library = import_sentence_transformers()
        folder = config.folder()
        self._config = config
        self._model: Any = built(
            folder,
            lambda: library.SentenceTransformer(
                str(folder),
                device=str(device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            ),
        )
        own = self._model.max_seq_length
        if config.max_length is not None:
            self._model.max_seq_length = config.max_length if own is None else min(config.max_length, own)

    def encode(self, contents: Sequence[str]) -> FloatArray:
        """Return vectors, float32 ``[n, d]``."""
        texts = [self._config.prompt + text for text in contents]
        self._count_cut(texts)
        vectors = self._model.encode(
            texts,
            batch_size=self._config.batch_size,
            normalize_embeddings=self._config.normalise,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, np.float32)

    def _count_cut(self, texts: Sequence[str]) -> None:
        """Count the texts of which the model reads a part alone."""
        longest = self._model.max_seq_length
        if longest is not None:
            lengths = self._model.tokenizer(list(texts), truncation=True, max_length=longest + 1)["input_ids"]
            if cut := sum(len(tokens) > longest for tokens in lengths):
                self.counts[f"cut at {longest} tokens"] += cut


CONTENT_ENCODERS.register("sentence-transformers", SentenceTransformersConfig)
