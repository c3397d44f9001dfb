"""Quality report of a data set: sizes, degrees, time, vectors, texts, and a sample of items."""
