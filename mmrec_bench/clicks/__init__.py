"""Click models: who looks where, and what is clicked, simulated and in exact expectation, from arrays of labels."""

from mmrec_bench.clicks.base import CLICK_MODELS, Clicked, ClickModel, ClickModelField, Expected
from mmrec_bench.clicks.cascades import CascadeModel, ClickChainModel, DependentClickModel
from mmrec_bench.clicks.causes import Attraction, PopularityBias
from mmrec_bench.clicks.position import PositionBasedModel
from mmrec_bench.clicks.user_browsing import UserBrowsingModel

__all__ = [
    "CLICK_MODELS", "Attraction", "CascadeModel", "ClickChainModel", "ClickModel", "ClickModelField", "Clicked",
    "DependentClickModel", "Expected", "PopularityBias", "PositionBasedModel", "UserBrowsingModel",
]  # fmt: skip
