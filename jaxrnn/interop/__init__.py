"""Weights to and from other libraries, and functions for use without this one.

Nothing here is imported with `jaxrnn`: `from jaxrnn.interop.torch import from_torch`, and likewise
`.flax`, `.keras` and `.export`.
"""
