"""Lists of seeds in YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mmrec_bench.settings import check_unique


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    check_unique("seeds", seeds)
    return seeds


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seedlist = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_distinct)]
"""At least one seed, each once."""
