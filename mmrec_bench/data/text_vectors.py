"""Vectors of what is written of items: TF-IDF of tokens, reduced by SVD; no weights are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import PositiveInt

from mmrec_bench.data.features import FeatureTable, unit_rows
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import DataError
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TokenSvd:
    """TF-IDF with logarithmic counts, reduced by truncated SVD (latent semantic analysis).

    Deerwester et al., Indexing by latent semantic analysis, JASIS 1990,
    https://doi.org/10.1002/(SICI)1097-4571(199009)41:6%3C391::AID-ASI1%3E3.0.CO;2-9

    Attributes:
        columns: Tokens that enough items share, int64 ``[n]``.
        weights: The fitted TF-IDF.
        reduction: The fitted SVD.
    """

    columns: IntArray
    weights: Any
    reduction: Any

    @classmethod
    def fit(cls, counts: sp.csr_matrix, dim: int, min_items: int, section: str) -> tuple[TokenSvd, FloatArray]:
        """Fit on the counts of tokens of all items, and return their vectors as `vectors` does.

        Args:
            counts: One row an item, CSR ``[n_items, n_tokens]``.
            dim: Length of the vectors.
            min_items: Tokens that fewer items have are left out.
            section: Of the settings, for messages.

        Raises:
            DataError: There are no more tokens, or items, than the vectors are long.
        """
        from sklearn.decomposition import TruncatedSVD  # imported late: it takes a second
        from sklearn.feature_extraction.text import TfidfTransformer

        columns = np.flatnonzero(counts.getnnz(axis=0) >= min_items).astype(np.int64)
        counts = counts[:, columns]
        if counts.shape[1] <= dim:
            raise DataError(
                f"{section}.dim is {dim}, and {counts.shape[1]} words and tokens of titles are shared by "
                f"{min_items} items or more; there must be more than dim. Lower {section}.dim"
            )
        if counts.shape[0] <= dim:
            raise DataError(
                f"{section}.dim is {dim}, and there are {counts.shape[0]} items; there must be more than dim. "
                f"Lower {section}.dim"
            )
        weights = TfidfTransformer(sublinear_tf=True)
        reduction = TruncatedSVD(dim, algorithm="arpack", random_state=0)
        vectors = reduction.fit_transform(weights.fit_transform(counts)).astype(np.float32)
        return cls(columns, weights, reduction), _scaled(vectors, counts)

    def vectors(self, counts: sp.csr_matrix) -> FloatArray:
        """Return unit vectors, float32 ``[n, dim]``; NaN where no token is known."""
        counts = counts[:, self.columns]
        return _scaled(self.reduction.transform(self.weights.transform(counts)).astype(np.float32), counts)


class TextVectors(BaseConfig):
    """How texts of items become vectors when the data is read: an honest, simple table for models of content.

    It is the short form of the encoder ``tfidf-svd`` (`mmrec-bench features extract`) in which a word counts as one
    token, whole.
    """

    dim: PositiveInt = 64
    """Length of the vectors."""
    min_items: PositiveInt = 2
    """Tokens of titles, and words, that fewer items have are left out."""

    def table(self, modality: str, items: ItemTable) -> FeatureTable:
        """Return unit vectors of the items; those of whom nothing is written are absent.

        Args:
            modality: Name of the table.
            items: Titles, whose tokens count, and words, each of which counts as one token.

        Raises:
            DataError: There are no more tokens, or items, than the vectors are long.
        """
        from sklearn.feature_extraction.text import CountVectorizer  # imported late: it takes a second

        parts: list[sp.csr_matrix] = []
        if items.titles is not None:
            counter = CountVectorizer(stop_words="english")
            try:
                parts.append(counter.fit_transform(items.titles.tolist()).tocsr())
            except ValueError:  # no title holds a token
                parts.append(sp.csr_matrix(np.zeros((len(items.titles), 0))))
        if (words := items.words) is not None:
            shape = (words.n_items, len(words.vocabulary))
            parts.append(sp.csr_matrix((np.ones(len(words.indices)), words.indices, words.offsets), shape))
        counts = sp.hstack(parts, format="csr") if parts else sp.csr_matrix(np.zeros((0, 0)))
        _, vectors = TokenSvd.fit(counts, self.dim, self.min_items, "text_vectors")
        present = ~np.isnan(vectors[:, 0])
        return FeatureTable(modality, vectors, present, f"TF-IDF of titles and words, SVD to {self.dim}")


def _scaled(vectors: FloatArray, counts: sp.csr_matrix) -> FloatArray:
    present = (counts.getnnz(axis=1) > 0) & (np.abs(vectors).sum(axis=1) > 0)
    vectors[present] = unit_rows(vectors[present])
    vectors[~present] = np.nan
    return vectors
