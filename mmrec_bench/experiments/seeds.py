"""Lists of seeds in YAML."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mmrec_bench.settings import explained_error


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds):
        raise explained_error(f"seeds must not repeat; got {list(seeds)}")
    return seeds


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seedlist = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_distinct)]
"""At least one seed, each once."""
