"""Models of a user who reads from the top and stops: cascade, dependent click model, click chain model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from mmrec_bench.clicks.base import ClickModel, Walk, by_rank, click_model
from mmrec_bench.clicks.causes import Share
from mmrec_bench.settings import explained_error
from mmrec_bench.types import BoolArray, DoubleArray


class ReadingModel(ClickModel):
    """The first row is examined, and each next one only if the one above was and the user goes on."""

    @model_validator(mode="before")
    @classmethod
    def _overlooks_nothing(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "popularity" in data:
            raise explained_error(
                "a popularity bias is of pbm and ubm: here the user reads every row down to where it stops, and "
                "overlooks none. Drop 'popularity', or choose pbm or ubm"
            )
        return data

    @abstractmethod
    def going_on(self, attraction: DoubleArray) -> tuple[float, DoubleArray]:
        """Return the probabilities of going on after an examined row without a click, and with one, ``[m, L]``."""

    def examination(self, walk: Walk) -> DoubleArray:
        """Return the recursion ``e_{r+1} = e_r * ((1 - a_r) * unclicked + a_r * clicked_r)``, from 1."""
        unclicked, clicked = self.going_on(walk.attraction)
        on = (1 - walk.attraction) * unclicked + walk.attraction * clicked
        result = np.ones_like(on)
        np.cumprod(on[:, :-1], axis=1, out=result[:, 1:])
        return result * walk.bias

    def session(self, walk: Walk, draws: DoubleArray) -> tuple[BoolArray, BoolArray, DoubleArray]:
        """Walk down the ranks; the conditional examination is Bayes' rule, as silence hints at having stopped."""
        unclicked, clicked = self.going_on(walk.attraction)
        clicks, observed = np.empty(walk.bias.shape, np.bool_), np.empty(walk.bias.shape, np.bool_)
        examination = np.empty_like(walk.bias)
        on, belief = np.ones(len(walk.bias)), np.ones(len(walk.bias))
        for rank in range(walk.bias.shape[1]):
            attraction = walk.attraction[:, rank]
            examination[:, rank] = belief * walk.bias[:, rank]
            observed[:, rank] = draws[:, rank, 0] < on * walk.bias[:, rank]
            click = observed[:, rank] & (draws[:, rank, 1] < attraction)
            on = np.where(observed[:, rank], np.where(click, clicked[:, rank], unclicked), 0.0)
            silent = np.maximum(1 - belief * attraction, np.finfo(np.float64).tiny)  # 0 only where a click is certain
            belief = np.where(click, clicked[:, rank], unclicked * belief * (1 - attraction) / silent)
            clicks[:, rank] = click
        return clicks, observed, examination


@click_model("cascade")
class CascadeModel(ReadingModel):
    """The user reads until the first click (Craswell et al. 2008, https://doi.org/10.1145/1341531.1341545)."""

    name: Literal["cascade"] = "cascade"

    def going_on(self, attraction: DoubleArray) -> tuple[float, DoubleArray]:
        """Return 1 and 0."""
        return 1.0, np.zeros_like(attraction)


@click_model("dcm")
class DependentClickModel(ReadingModel):
    """After a click the user goes on with a probability of the rank (Guo et al. 2009, doi 10.1145/1498759.1498818)."""

    name: Literal["dcm"] = "dcm"
    continuation: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.6,)
    """Probability lambda of going on after a click at rank 1, 2, ...; lower ranks repeat the last."""

    def going_on(self, attraction: DoubleArray) -> tuple[float, DoubleArray]:
        """Return 1 and lambda of the rank."""
        return 1.0, np.broadcast_to(by_rank(self.continuation, attraction.shape[1]), attraction.shape)


@click_model("ccm")
class ClickChainModel(ReadingModel):
    """Going on depends on the click and on what it found (Guo et al. 2009, https://doi.org/10.1145/1526709.1526712).

    A clicked row is found relevant with the probability of its attraction. The defaults are those of STARank's code.
    """

    name: Literal["ccm"] = "ccm"
    after_no_click: Share = 0.5
    """Probability of going on after an examined row without a click."""
    after_irrelevant: Share = 0.4
    """Probability of going on after a click on an irrelevant row."""
    after_relevant: Share = 0.27
    """Probability of going on after a click on a relevant row."""

    def going_on(self, attraction: DoubleArray) -> tuple[float, DoubleArray]:
        """Return ``after_no_click`` and the mix of the other two."""
        return self.after_no_click, (1 - attraction) * self.after_irrelevant + attraction * self.after_relevant
