"""Names for the arrays and words that are used everywhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]
"""Row numbers, counts, seconds: int64."""

FloatArray: TypeAlias = NDArray[np.float32]
"""Values, features, scores: float32."""

DoubleArray: TypeAlias = NDArray[np.float64]
"""Metric values: float64, never rounded."""

BoolArray: TypeAlias = NDArray[np.bool_]

StringArray: TypeAlias = NDArray[np.str_]
"""External ids, as text."""

Task: TypeAlias = Literal["retrieval", "ranking", "interactive", "ctr"]
