"""Which of a test's parameters CI takes."""

import pytest


def in_matrix(*values):
    """Parameters for runs with `--matrix` only, as `pytest.mark.parametrize` takes them."""
    return [pytest.param(value, marks=pytest.mark.matrix) for value in values]
