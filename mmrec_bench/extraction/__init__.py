"""Encoders of what items are: texts and pictures to vectors, without interactions. Importing fills their registry."""

from mmrec_bench.extraction import (  # noqa: F401
    colour_edges,
    sentence,
    svd,
    transformer_image,
    transformer_text,
)
