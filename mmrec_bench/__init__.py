"""mmrec-bench: a multimodal recommender benchmarking toolkit.

An experiment is a dataset, a protocol, a model and a trainer, written in one YAML. A run is a folder of facts. Every
table is a pure function of run folders.
"""

__version__ = "0.1.0"
