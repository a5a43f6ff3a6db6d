"""The book's experiments, one command each, such as `python -m experiments.jaychou`."""
