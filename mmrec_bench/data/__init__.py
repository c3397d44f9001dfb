"""Datasets: frozen value objects, the formats that make them, the splits that part them."""
