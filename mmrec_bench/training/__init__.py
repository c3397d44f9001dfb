"""One training loop, its step rules, batch sources, stopping and checkpoints."""
