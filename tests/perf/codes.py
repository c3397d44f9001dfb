"""Product quantisation of amazon-baby's features: seconds, error and how many items stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from mmrec_bench import quantisation
from mmrec_bench.quantisation import distinct_ratio, quantise
from mmrec_bench.types import FloatArray
from tests.perf.setup import experiment_of, seconds

LEADING = quantisation._leading_components


def print_codes(data_dir: Path, n_subspaces: int = 8, n_codes: int = 256) -> None:
    """Print a table: one row a modality and quantiser."""
    _, prepared = experiment_of("motor-lightgcn", data_dir)
    fitted = prepared.split.train.item_counts() > 0
    print(f"\n### Product quantisation, {n_subspaces} sub-spaces of {n_codes} codes\n")
    print("| features | quantiser | s | error | distinct codes |")
    print("| :-- | :-- | --: | --: | --: |")
    for name, table in prepared.dataset.features.items():
        for told, method, start in (
            ("opq", "opq", LEADING),
            ("opq, evenly shared", "opq", evenly_shared),
            ("pq", "pq", None),
            ("random", "random", None),
        ):
            codes = []

            def coded(method: Any = method, table: Any = table, codes: list[Any] = codes) -> None:
                rng = np.random.default_rng(0)
                codes.append(
                    quantise(
                        table.values, table.present, fitted, method=method, n_subspaces=n_subspaces, n_codes=n_codes,
                        normalise=True, rng=rng,
                    )
                )  # fmt: skip

            with patch.object(quantisation, "_leading_components", start):
                took = seconds(coded)
            size = f"{name}, {table.n_items:,} x {table.dim}"
            print(f"| {size} | {told} | {took:.2f} | {codes[0].error:.3f} | {distinct_ratio(codes[0].codes):.3f} |")


def evenly_shared(centred: FloatArray, n_subspaces: int) -> FloatArray:
    """Return principal components shared out so that the variances of sub-spaces have like products.

    Source: Ge et al., TPAMI 2014, section 3.2.3; the start that `quantise` does not take, held against it.
    """
    components = LEADING(centred, n_subspaces)
    variances = np.log(np.maximum(((centred @ components.T) ** 2).mean(axis=0), np.finfo(np.float32).tiny))
    spaces: list[list[int]] = [[] for _ in range(n_subspaces)]
    products = np.zeros(n_subspaces)
    for place, variance in enumerate(variances - variances.min()):
        full = np.array([len(space) == len(components) // n_subspaces for space in spaces])
        space = int(np.where(full, np.inf, products).argmin())
        spaces[space].append(place)
        products[space] += variance
    return np.ascontiguousarray(components[np.concatenate(spaces)])
