"""The fixture that the tests of the recurrence share."""

import pytest
from recurrence.cases import CELLS, make_case


@pytest.fixture(params=CELLS)
def case(request, x64):
    """Every cell, in float64."""
    return make_case(request.param)
