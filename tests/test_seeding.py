from __future__ import annotations

import numpy as np
import torch

from mmrec_bench.seeding import Seeds, derive_seed


def test_derived_seeds_are_fixed_for_all_time() -> None:
    """Changing these values changes every published number."""
    assert derive_seed(0, "order", 0) == 3471081512423777433
    assert derive_seed(0, "order", 1) != derive_seed(0, "order", 0) != derive_seed(1, "order", 0)
    assert derive_seed(1, "1/x", 0) != derive_seed(1, "1", 0)


def test_streams_repeat_and_differ() -> None:
    def draw(seed: int, stream: str, epoch: int) -> list[float]:
        return torch.rand(4, generator=Seeds(seed).generator(stream, epoch)).tolist()

    assert draw(3, "negatives", 2) == draw(3, "negatives", 2)
    assert (
        len({tuple(draw(*key)) for key in ((3, "negatives", 2), (3, "negatives", 3), (3, "order", 2), (4, "order", 2))})
        == 4
    )
    assert np.array_equal(Seeds(1).numpy("a").random(3), Seeds(1).numpy("a").random(3))


def test_global_generators_are_seeded() -> None:
    Seeds(5).seed_global("epoch", 1)
    first = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    Seeds(5).seed_global("epoch", 1)
    second = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    assert torch.equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
