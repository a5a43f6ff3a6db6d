"""The same models and training steps in each library, for the benchmarks to compare."""
