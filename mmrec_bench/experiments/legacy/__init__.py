"""What choosing settings on the test part would have published; no tuner imports it."""
