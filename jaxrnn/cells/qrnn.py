"""The pooling of quasi-recurrent networks."""

from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.linear_cell import LinearCell, linear_cell
from jaxrnn.checks import check_choice
from jaxrnn.typing import Gates


def qrnn_coefficients(cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step of f- and fo-pooling."""
    z, f = jnp.tanh(input_gates[0]), sigmoid(input_gates[1])
    return f, (1 - f) * z


def qrnn_ifo_coefficients(cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step of ifo-pooling."""
    z, f, i = jnp.tanh(input_gates[0]), sigmoid(input_gates[1]), sigmoid(input_gates[3])
    return f, i * z


def qrnn_readout(cell_params: Any, input_gates: Gates, state: Any) -> Any:
    """Return the output of fo- and ifo-pooling."""
    return sigmoid(input_gates[2]) * state


def qrnn(hidden_size: int, *, pooling: str = "fo") -> LinearCell:
    """Return the recurrence of a quasi-recurrent network (QRNN): its pooling.

        z       = tanh(i_z)                     i = x W_ih + b_ih
        f, o, i = sigmoid(i_f), sigmoid(i_o), sigmoid(i_i)
        c'      = f * c + (1 - f) * z           "ifo": f * c + i * z
        h'      = o * c'                        "f": c'

    The paper's gates read a window of the last k inputs.  This is k = 1; for more, give the layer
    inputs that hold those of the last steps side by side.

    Args:
        hidden_size: H.
        pooling: "f", "fo" or "ifo".

    Returns:
        A linear cell with the gates z, f, o, i as far as the pooling has them, and the carry
        `LinearCarry(hidden, state)`; `HiddenCarry(hidden)` for "f".

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1, or there is no such pooling.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.qrnn(256).gates
        ('candidate', 'forget', 'output')

    Reference:
        Bradbury et al., Quasi-recurrent neural networks, 2017, arXiv:1611.01576.
    """
    check_choice("pooling", pooling, ("f", "fo", "ifo"))
    return linear_cell(
        "qrnn",
        hidden_size,
        gates=("candidate", "forget", "output", "input")[: len(pooling) + 1],
        coefficients=qrnn_ifo_coefficients if pooling == "ifo" else qrnn_coefficients,
        readout=None if pooling == "f" else qrnn_readout,
    )
