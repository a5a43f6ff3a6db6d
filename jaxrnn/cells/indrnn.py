"""The independently recurrent network."""

from dataclasses import replace

from jaxrnn.cells.cell import Cell
from jaxrnn.cells.elman import rnn


def indrnn(hidden_size: int) -> Cell:
    """Return an independently recurrent cell (IndRNN): each unit reads only its own last value.

        h' = relu(x W_ih + b_ih + u * h)

    Args:
        hidden_size: H.

    Returns:
        A cell with one gate, the candidate, and the carry `HiddenCarry(hidden)`.  Its recurrent
        weights u are a `BlockDiagonal` of H heads.  |u| should stay below 2 ** (1 / T), so that T
        steps do not overflow; "uniform" draws them from +-1.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jax, jaxrnn
        >>> params = jaxrnn.recurrent(jaxrnn.indrnn(8)).init(jax.random.key(0), 3)
        >>> params.w_hh.blocks.shape
        (8, 1, 1, 1)

    Reference:
        Li et al., Independently recurrent neural network (IndRNN), 2018, arXiv:1803.04831.
    """
    return replace(rnn(hidden_size, "relu"), name="indrnn", num_heads=hidden_size)
