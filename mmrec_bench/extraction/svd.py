"""Text encoders without weights: TF-IDF of tokens, or of hashed tokens, reduced by SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field, PositiveInt

from mmrec_bench.data.text_vectors import TokenSvd
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder, ContentEncoderConfig
from mmrec_bench.types import FloatArray


class SvdConfig(ContentEncoderConfig):
    """What both counters share."""

    modality = "text"

    dim: PositiveInt = 64
    """Length of the vectors."""
    min_items: PositiveInt = 2
    """Tokens that fewer items have are left out."""


class TfidfSvdConfig(SvdConfig):
    """TF-IDF of the words of texts (English stop words left out), reduced by SVD: latent semantic analysis."""

    name: Literal["tfidf-svd"] = "tfidf-svd"

    def build(self, device: torch.device) -> ContentEncoder[str]:
        """Return the encoder; it has no weights, and computes on the CPU."""
        from sklearn.feature_extraction.text import CountVectorizer  # imported late: it takes a second

        return SvdEncoder(self, CountVectorizer(stop_words="english"))


class HashingSvdConfig(SvdConfig):
    """The same of hashed words (the hashing trick), whose memory does not grow with the vocabulary.

    Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009, https://arxiv.org/abs/0902.2206
    """

    name: Literal["hashing-svd"] = "hashing-svd"
    n_hashes: int = Field(default=1 << 18, ge=2, le=1 << 30)
    """Number of different hashes; words that share one count as one."""

    def build(self, device: torch.device) -> ContentEncoder[str]:
        """Return the encoder; it has no weights, and computes on the CPU."""
        from sklearn.feature_extraction.text import HashingVectorizer  # imported late: it takes a second

        # Signs would let words that share a hash cancel, and TF-IDF needs counts.
        return SvdEncoder(
            self, HashingVectorizer(n_features=self.n_hashes, alternate_sign=False, norm=None, stop_words="english")
        )


class SvdEncoder(ContentEncoder[str]):
    """Counts tokens and reduces them.

    Args:
        config: Its settings.
        counter: A vectorizer of scikit-learn.
    """

    def __init__(self, config: SvdConfig, counter: Any) -> None:
        super().__init__()
        self._config, self._counter = config, counter
        self._fitted: TokenSvd | None = None

    def fit(self, contents: Sequence[str]) -> None:
        """Learn vocabulary, weights and directions from all texts."""
        try:
            counts = self._counter.fit_transform(contents).tocsr()
        except ValueError:  # no text holds a token
            counts = sp.csr_matrix(np.zeros((len(contents), 0)))
        self._fitted, _ = TokenSvd.fit(counts, self._config.dim, self._config.min_items, "encoder")

    def encode(self, contents: Sequence[str]) -> FloatArray:
        """Return unit vectors; NaN for a text without a known token."""
        assert self._fitted is not None, "fit comes first"
        return self._fitted.vectors(self._counter.transform(contents).tocsr())


CONTENT_ENCODERS.register("tfidf-svd", TfidfSvdConfig)
CONTENT_ENCODERS.register("hashing-svd", HashingSvdConfig)
