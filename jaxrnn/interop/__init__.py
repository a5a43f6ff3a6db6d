"""Weights to and from other libraries, and functions for use without this one.

Each module imports its library when it is used: `from jaxrnn.interop.torch import from_torch`.
"""
