"""Benchmarks that the documentation quotes: ratios between peers, measured in one run."""
