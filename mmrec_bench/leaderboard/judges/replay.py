"""Sessions held once more, with a system that shows what a transcript says was shown."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from mmrec_bench.evaluation.sessions import FIELD, ITEM, TERM
from mmrec_bench.models.interactive.base import ClosedFormSystem, Feedback, InteractiveConfig, InteractiveContext, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.types import IntArray


class Replay(ClosedFormSystem):
    """A system that follows a script.

    What a script shows although it is not on the table, or has been shown before, is not shown, and noted in `illegal`.

    Args:
        context: Lexicon and catalogue.
        rows: Row of each session in the script by its number, int64 ``[max number + 1]``, -1 for none.
        kinds: `ITEM`, `TERM` or `FIELD`, int64 ``[S, R, N]``; -1 for an empty slot.
        nodes: Item row, term, or field, int64 ``[S, R, N]``.
    """

    def __init__(self, context: InteractiveContext, rows: IntArray, kinds: IntArray, nodes: IntArray) -> None:
        super().__init__(InteractiveConfig(name="replay", initialiser="uniform"), context)
        self._rows, self._kinds, self._nodes = (torch.from_numpy(array) for array in (rows, kinds, nodes))
        self._round = 0
        self.illegal: list[tuple[int, int]] = []
        """Number of the session and round, from 1, of what could not be shown."""

    def start(self, candidates: Candidates) -> State:
        """Begin sessions; fields may be asked for, as other things may."""
        self._round = 0
        state = super().start(candidates)
        others = state.open[:, : state.board.n_items + state.board.n_terms]
        return dataclasses.replace(state, open=torch.cat((others, state.board.present_fields()), dim=1))

    def values(self, state: State) -> Tensor:
        """Return zeros: nothing is chosen."""
        return torch.zeros_like(state.open, dtype=torch.float32)

    def propose(self, state: State, n_slots: int) -> Tensor:
        """Return the slots that the script says."""
        board, numbers = state.board, state.board.candidates.sessions
        row = self._rows.index_select(0, numbers)
        kinds = self._kinds.index_select(0, row)[:, self._round, :n_slots]
        nodes = self._nodes.index_select(0, row)[:, self._round, :n_slots]
        fields = torch.arange(board.n_fields).expand(len(numbers), -1)
        shown = torch.full((len(numbers), n_slots), -1)
        tables = {ITEM: (board.item_rows(), 0), TERM: (board.terms, board.n_items)}
        tables[FIELD] = (fields, board.n_items + board.n_terms)
        for kind, (table, first) in tables.items():
            for slot in range(kinds.shape[1]):
                if not table.shape[1]:
                    continue
                same = (table == nodes[:, slot, None]) & (kinds[:, slot, None] == kind)
                shown[:, slot] = torch.where(same.any(dim=1), same.int().argmax(dim=1) + first, shown[:, slot])
        is_open = state.open.gather(1, shown.clamp(min=0)) & (shown >= 0)
        for session in numbers[((kinds >= 0) & ~is_open).any(dim=1)].tolist():
            self.illegal.append((session, self._round + 1))
        self._round += 1
        return shown.masked_fill(~is_open, -1)

    def update(self, state: State, feedback: Feedback) -> State:
        """Return the state: answers change nothing that is read."""
        return state
