"""Models: one file a system, registered in `mmrec_bench.models.base.MODELS` by the imports below."""
