"""List files of other systems, read into the table that is judged, and written from it."""

from mmrec_bench.leaderboard.bridges.base import ListFormat
from mmrec_bench.leaderboard.bridges.long import Elliot, LensKit, RecBole, Trec
from mmrec_bench.leaderboard.bridges.wide import Cornac, MMRec
from mmrec_bench.registry import Registry

LIST_FORMATS: Registry[ListFormat] = Registry("list format")
"""Formats by name."""

for _format in (Trec(), MMRec(), RecBole(), Elliot(), Cornac(), LensKit()):
    LIST_FORMATS.register(_format.name, _format)
