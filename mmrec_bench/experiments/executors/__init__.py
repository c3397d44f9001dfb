"""Executors: how the runs of a plan become folders, in worker processes of one machine or on the nodes of a cluster."""
