"""The book's experiments, one command each: `python -m experiments.jaychou`."""
