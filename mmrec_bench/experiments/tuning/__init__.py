"""Studies: search spaces, trials that several processes share, winners."""
