"""An image encoder without weights: histograms of colours and of edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mmrec_bench.data.features import unit_rows
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder, ContentEncoderConfig
from mmrec_bench.types import FloatArray

SIDE = 128
"""Pictures are scaled to so many pixels a side."""
CELLS = 4
"""Edges are counted apart in ``CELLS x CELLS`` fields of a picture."""
DIRECTIONS = 8
"""Directions of edges, over half a turn: dark to light and light to dark are the same edge."""
HUES, SATURATIONS, VALUES = 8, 3, 3


class ColourEdgesConfig(ContentEncoderConfig):
    """Histograms: 72 colours (hue x saturation x value, over the whole picture) and 128 of edges.

    Edges are gradients of brightness by direction in 4 x 4 fields, weighed by their strength, as in histograms of
    oriented gradients (Dalal and Triggs, CVPR 2005, https://doi.org/10.1109/CVPR.2005.177). Either half is divided by
    its sum; the square root is taken, so that the inner product of two vectors is the mean Bhattacharyya coefficient
    of their histograms. An honest baseline for encoders with weights: it knows no objects.
    """

    modality = "image"

    name: Literal["colour-edges"] = "colour-edges"

    def build(self, device: torch.device) -> ContentEncoder[Any]:
        """Return the encoder; it has no weights, and computes on the CPU."""
        return ColourEdges()


class ColourEdges(ContentEncoder[Any]):
    """Counts colours and edges of pictures."""

    at_once = 1

    def encode(self, contents: Sequence[Any]) -> FloatArray:
        """Return unit vectors of pictures in RGB, float32 ``[n, 200]``."""
        return np.stack([_vector(picture) for picture in contents])


def _vector(picture: Any) -> FloatArray:
    small = picture.resize((SIDE, SIDE))
    colours = _colours(np.asarray(small.convert("HSV"), np.int64))
    edges = _edges(np.asarray(small.convert("L"), np.float64))
    halves = [half / max(half.sum(), 1e-12) for half in (colours, edges)]
    vector: FloatArray = unit_rows(np.sqrt(np.concatenate(halves))[None].astype(np.float32))[0]
    return vector


def _colours(hsv: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each of the colours occurs, from values in 0..255 ``[h, w, 3]``."""
    hue, saturation, value = (hsv[..., i] * n // 256 for i, n in enumerate((HUES, SATURATIONS, VALUES)))
    codes = (hue * SATURATIONS + saturation) * VALUES + value
    return np.bincount(codes.ravel(), minlength=HUES * SATURATIONS * VALUES).astype(np.float64)


def _edges(brightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the strength of edges by field and direction, from brightness ``[h, w]``."""
    down, right = np.gradient(brightness)
    turn = np.mod(np.arctan2(down, right), np.pi) / np.pi
    direction = np.minimum((turn * DIRECTIONS).astype(np.int64), DIRECTIONS - 1)
    place = np.arange(SIDE) * CELLS // SIDE
    codes = (place[:, None] * CELLS + place) * DIRECTIONS + direction
    size = CELLS * CELLS * DIRECTIONS
    return np.bincount(codes.ravel(), weights=np.hypot(down, right).ravel(), minlength=size).astype(np.float64)


CONTENT_ENCODERS.register("colour-edges", ColourEdgesConfig)
