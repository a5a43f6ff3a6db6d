"""Which of a test's parameters CI takes."""

import pytest


def in_matrix(*values):
    """Parameters for runs with `--matrix` only, as `pytest.mark.parametrize` takes them.

    A tuple is the values of several parameters.
    """
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.matrix)
        for value in values
    ]
