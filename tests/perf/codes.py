"""Product quantisation of amazon-baby's features: seconds, error and how many items stay apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmrec_bench.quantisation import distinct_ratio, quantise
from tests.perf.setup import experiment_of, seconds


def print_codes(data_dir: Path, n_subspaces: int = 8, n_codes: int = 256) -> None:
    """Print a table: one row a modality and quantiser."""
    _, prepared = experiment_of("motor-lightgcn", data_dir)
    fitted = prepared.split.train.item_counts() > 0
    print(f"\n### Product quantisation, {n_subspaces} sub-spaces of {n_codes} codes\n")
    print("| features | quantiser | s | error | distinct codes |")
    print("| :-- | :-- | --: | --: | --: |")
    for name, table in prepared.dataset.features.items():
        for method in ("opq", "pq", "random"):
            codes = []
            took = seconds(
                lambda m=method, t=table, c=codes: c.append(
                    quantise(
                        t.values,
                        t.present,
                        fitted,
                        method=m,
                        n_subspaces=n_subspaces,
                        n_codes=n_codes,
                        normalise=True,
                        rng=np.random.default_rng(0),
                    )
                )
            )
            size = f"{name}, {table.n_items:,} x {table.dim}"
            print(f"| {size} | {method} | {took:.2f} | {codes[0].error:.3f} | {distinct_ratio(codes[0].codes):.3f} |")
