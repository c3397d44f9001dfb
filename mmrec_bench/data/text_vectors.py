"""Vectors of what is written of items: TF-IDF of titles and words, reduced by SVD; no weights are needed."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from pydantic import PositiveInt

from mmrec_bench.data.features import FeatureTable, unit_rows
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import DataError
from mmrec_bench.settings import BaseConfig


class TextVectors(BaseConfig):
    """How texts of items become vectors: an honest, simple table for models of content."""

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
        from sklearn.decomposition import TruncatedSVD  # imported late: it takes a second
        from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

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
        counts = counts[:, np.flatnonzero(counts.getnnz(axis=0) >= self.min_items)]
        if counts.shape[1] <= self.dim:
            raise DataError(
                f"text_vectors.dim is {self.dim}, and {counts.shape[1]} words and tokens of titles are shared by "
                f"{self.min_items} items or more; there must be more than dim. Lower text_vectors.dim"
            )
        if counts.shape[0] <= self.dim:
            raise DataError(
                f"text_vectors.dim is {self.dim}, and there are {counts.shape[0]} items; there must be more than dim. "
                "Lower text_vectors.dim"
            )
        weighed = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
        vectors = TruncatedSVD(self.dim, algorithm="arpack", random_state=0).fit_transform(weighed).astype(np.float32)
        present = (counts.getnnz(axis=1) > 0) & (np.abs(vectors).sum(axis=1) > 0)
        vectors[present] = unit_rows(vectors[present])
        vectors[~present] = np.nan
        return FeatureTable(modality, vectors, present, f"TF-IDF of titles and words, SVD to {self.dim}")
