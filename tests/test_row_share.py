from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmrec_bench import row_share
from mmrec_bench.errors import TrainingError
from mmrec_bench.row_share import RowDropout, RowShare, dropout, n_rows, own_rows, sharing, uniform

WHOLE = 7
SHARES = [RowShare(0, 3, WHOLE, None), RowShare(3, 7, WHOLE, None)]


def test_alone_everything_is_what_it_was() -> None:
    rows = torch.randn(4, 2)
    assert row_share.present() is None
    assert row_share.all_rows(rows) is rows
    assert own_rows(rows) is rows
    assert n_rows(rows) == 4
    assert row_share.total(rows) is rows
    assert row_share.mean_over(torch.tensor(3.0), torch.tensor(0)).item() == 3.0


@pytest.mark.parametrize("each", [1, 3])
def test_draws_of_shares_are_those_of_the_whole(each: int) -> None:
    rows = torch.randn(WHOLE * each, 5)

    def drawn(share: RowShare | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        torch.manual_seed(3)
        with sharing(share):
            mine = rows if share is None else share.own(rows)
            return uniform(mine), dropout(mine, 0.4, True), torch.rand(())

    whole = drawn(None)
    first, second = (drawn(share) for share in SHARES)
    assert torch.equal(torch.cat((first[0], second[0])), whole[0])
    assert torch.allclose(torch.cat((first[1], second[1])), whole[1])
    assert (whole[1] == 0).any()
    assert first[2] == second[2] == whole[2]  # what is drawn next is the same, too


def test_dropout_layer_is_that_of_torch_alone_and_off_in_evaluation() -> None:
    rows = torch.randn(6, 4)
    torch.manual_seed(1)
    found = RowDropout(0.5)(rows)
    torch.manual_seed(1)
    assert torch.equal(found, F.dropout(rows, 0.5))
    with sharing(SHARES[1]):
        assert torch.equal(RowDropout(0.5).eval()(rows), rows)


def test_weights_and_sizes() -> None:
    assert sum(share.weight for share in SHARES) == pytest.approx(1.0)
    with sharing(SHARES[0]):
        assert n_rows(torch.zeros(3)) == WHOLE
        assert own_rows(torch.arange(WHOLE)).tolist() == [0, 1, 2]
        with sharing(None):
            assert row_share.present() is None
        assert row_share.present() is SHARES[0]
        with pytest.raises(TrainingError, match="9 values cannot be those of 7 rows"):
            own_rows(torch.zeros(9))
    assert row_share.present() is None
