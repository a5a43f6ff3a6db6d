"""The simple recurrent unit."""

from typing import Any

from jax.nn import sigmoid

from jaxrnn.cells.linear_cell import LinearCell, linear_cell
from jaxrnn.typing import Gates


def sru_coefficients(cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step."""
    f = sigmoid(input_gates[1])
    return f, (1 - f) * input_gates[0]


def sru_readout(cell_params: Any, input_gates: Gates, state: Any) -> Any:
    """Return the output, a highway past the state."""
    r = sigmoid(input_gates[2])
    return r * state + (1 - r) * input_gates[3]


def sru(hidden_size: int) -> LinearCell:
    """Return a simple recurrent unit (SRU), whose gates do not read its state.

        f, r = sigmoid(i_f), sigmoid(i_r)       i = x W_ih + b_ih
        c'   = f * c + (1 - f) * i_n
        h'   = r * c' + (1 - r) * i_x

    This is the paper's first version.  The last one adds v * c to the gates, which makes the
    recurrence a nonlinear one.  The highway i_x is a projection of the inputs, as in the authors'
    code where sizes differ; where they agree, it is the inputs themselves there.

    Args:
        hidden_size: H.

    Returns:
        A linear cell with the gates n, f, r, x and the carry `LinearCarry(hidden, state)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.sru(256).gates
        ('candidate', 'forget', 'reset', 'highway')

    Reference:
        Lei and Zhang, Training RNNs as fast as CNNs, 2017, arXiv:1709.02755, version 1.
    """
    return linear_cell(
        "sru",
        hidden_size,
        gates=("candidate", "forget", "reset", "highway"),
        coefficients=sru_coefficients,
        readout=sru_readout,
    )
