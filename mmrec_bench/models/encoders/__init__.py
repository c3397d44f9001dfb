"""Encoders: models that make one vector an item from its feature tables, trained without interactions."""

from mmrec_bench.models.encoders.ica import ICA as ICA
