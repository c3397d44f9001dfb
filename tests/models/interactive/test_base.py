"""Any trained retrieval model gives the first scores."""

from __future__ import annotations

import pytest
import torch

from mmrec_bench.models.interactive.base import base_scores
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.testing.subjects import Subject, all_scores, every_subject

USERS = torch.tensor([4, 0, 12, 4])
ITEMS = torch.tensor([[0, 3, 29], [7, 28, 7], [5, -1, -1], [29, 0, 1]])


@pytest.mark.parametrize("subject", every_subject("clean"), ids=str)
def test_scores_are_those_that_the_base_exports(subject: Subject) -> None:
    """Of known and cold users and items; the places that are padded are not looked at."""
    scoring = subject.trained(subject.context()).export()
    expected = all_scores(scoring)[USERS].gather(1, ITEMS.clamp(min=0))
    found = base_scores(scoring, USERS, ITEMS)
    assert found.shape == ITEMS.shape
    torch.testing.assert_close(found[ITEMS >= 0], expected[ITEMS >= 0])
    assert torch.isfinite(found).all()


def test_cosines_are_of_unit_vectors() -> None:
    users, items = torch.randn(13, 4), torch.randn(30, 4) * torch.arange(1.0, 31.0).unsqueeze(1)
    found = base_scores(Representations(users, items, "cosine"), USERS, ITEMS)
    cosine = torch.nn.functional.cosine_similarity(users[USERS].unsqueeze(1), items[ITEMS.clamp(min=0)], dim=2)
    torch.testing.assert_close(found, cosine)
    assert not torch.allclose(found, base_scores(Representations(users, items), USERS, ITEMS))
