"""Row numbers of external ids, and limits of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec_bench.types import IntArray, StringArray

MAX_ID = 255
"""Characters of an external id."""

MAX_TITLE = 300
"""Characters of a title that are kept."""


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


def numbered(found: Any, listed: Any | None, name: str | None, notes: list[str]) -> tuple[IntArray, StringArray]:
    """Return the row number of each found id, and the external ids by row number, in natural order.

    Args:
        found: Ids with interactions, Arrow array of text.
        listed: Distinct ids of a file that describes them.
        name: Name of that file, for notes.
        notes: Takes what differs between the two.
    """
    distinct = pc.unique(found)
    union = distinct
    if listed is not None:
        union = pc.unique(pa.concat_arrays([distinct, listed]))
        if unlisted := len(union) - len(listed):
            notes.append(f"{unlisted} ids with interactions are not in {name}")
        if silent := len(union) - len(distinct):
            notes.append(f"{silent} ids of {name} have no interaction")
    external = natural_order(union)
    return rows_of(found, external), external
