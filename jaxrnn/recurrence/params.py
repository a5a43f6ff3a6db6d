"""The parameters of a cell that runs over time."""

from typing import NamedTuple

from jaxrnn.recurrence.products import BlockDiagonal, LowRank, Masked
from jaxrnn.typing import Array, Float, Params


class RecurrentParams(NamedTuple):
    """The parameters of one recurrent layer; gate blocks in the order of the cell's equations."""

    w_ih: Float[Array, "D G*H"]
    """From the inputs to the gates."""
    w_hh: Float[Array, "H G*H"] | LowRank | BlockDiagonal | Masked
    """From the hidden state to the gates."""
    b_ih: Float[Array, "G*H"]
    """Added to the input gates."""
    b_hh: Float[Array, "G*H"] | None = None
    """Added to the hidden gates; None where it would be redundant (`cell.hidden_bias`)."""
    cell: Params = ()
    """What `cell.init_params` made."""
