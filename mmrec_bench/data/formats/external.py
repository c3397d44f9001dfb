"""Row numbers of external ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec_bench.types import IntArray, StringArray

MAX_ID = 255
"""Characters of an external id."""


def natural_order(distinct: Any) -> StringArray:
    """Return distinct ids in an order that no file decides: whole numbers first, by size, then all others as text.

    Args:
        distinct: Arrow array of text without repeats.
    """
    numeric = pc.match_substring_regex(distinct, r"^(0|[1-9][0-9]{0,17})$")
    numbers = pc.cast(pc.if_else(numeric, distinct, "0"), pa.int64()).to_numpy()
    texts = np.array(distinct.to_pylist(), np.str_)
    return texts[np.lexsort((texts, numbers, ~numeric.to_numpy(zero_copy_only=False)))]


def rows_of(texts: Any, external: StringArray) -> IntArray:
    """Return the row number of each text of an Arrow array, all of which are among the external ids, int64 ``[n]``."""
    known = pa.array(external.tolist(), pa.string())
    rows: IntArray = pc.index_in(texts, value_set=known).to_numpy().astype(np.int64)
    return rows
