"""The fixture that the tests of the recurrence share."""

import pytest
from marks import in_matrix
from recurrence.cases import make_case


# The GRU has a hidden bias, the LSTM with peepholes a memory and parameters of its own.
@pytest.fixture(params=["gru", "peephole", *in_matrix("rnn", "lstm", "relu")])
def case(request, x64):
    """A cell in float64, with `--matrix` every one."""
    return make_case(request.param)
