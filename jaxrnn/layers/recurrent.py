"""The layer that runs a cell over time."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jaxrnn.cells import BaseCell, Cell, LinearCell, StepCell
from jaxrnn.checks import FLOAT32_MAX, check_number, check_positive_integer
from jaxrnn.layers.initializers import Chrono, check_bias_initializer, check_initializer
from jaxrnn.layers.layer import Layer
from jaxrnn.layers.recurrent_params import distinct, draw_params
from jaxrnn.layers.recurrent_regularizers import Regularizers
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.recurrence.arguments import check_params
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.unroll import run
from jaxrnn.typing import DType, Initializer, Key


@dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A cell run over time, made by `recurrent`, whose arguments are the fields.

    Examples:
        >>> import jaxrnn
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(256), remat_every=32)
        >>> layer, layer.cell
        (Recurrent(lstm(256), remat_every=32), lstm(256))
    """

    options: Options
    """The cell, and the options of `jaxrnn.unroll`."""
    kernel_init: str | Initializer = "uniform"
    recurrent_init: str | Initializer | None = None
    bias_init: str | Initializer = "uniform"
    forget_gate_bias: float | Chrono | None = None
    projection_size: int | None = None
    num_heads: int | None = None
    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: Any = 0.0

    def __post_init__(self) -> None:
        for init in (self.kernel_init, self.recurrent_init or "zeros"):
            check_initializer(init)
        check_bias_initializer(self.bias_init)
        cell = self.cell
        if cell.reads_inputs and (self.kernel_init, self.bias_init) != ("uniform", "uniform"):
            raise ValueError(f"kernel_init and bias_init need a cell with gates, got {cell}")
        if self.recurrent_init is not None and (cell.reads_inputs or isinstance(cell, LinearCell)):
            raise ValueError(f"recurrent_init needs a cell with recurrent weights, got {cell}")
        if self.forget_gate_bias is not None:
            bias = self.forget_gate_bias
            if not isinstance(bias, Chrono):
                check_number("forget_gate_bias", bias, low=-FLOAT32_MAX, high=FLOAT32_MAX)
            if "forget" not in cell.gates:
                raise ValueError(f"forget_gate_bias needs a cell with a forget gate, got {cell}")
        check_positive_integer("num_heads", self.heads)
        if cell.hidden_size % self.heads:
            raise ValueError(
                f"num_heads must divide hidden_size = {cell.hidden_size}, got {self.num_heads}"
            )
        if self.projection_size is not None:
            check_positive_integer("projection_size", self.projection_size)
            if self.heads > 1:
                whose = "num_heads" if self.num_heads else f"{self.heads} heads of {cell}"
                raise ValueError(f"projection_size cannot be combined with {whose}")
        self.regularizers.check(cell)
        plain = (self.projection_size, self.heads, self.recurrent_dropout) == (None, 1, 0)
        if not isinstance(cell, Cell) and not plain:
            why = "has no w_hh"
            if isinstance(cell, StepCell) and cell.gates:
                why = "multiplies by w_hh itself"
            raise ValueError(
                f"the {type(cell).__name__} {cell.name} {why}: projection_size, num_heads and"
                " recurrent_dropout need a Cell"
            )

    @property
    def cell(self) -> BaseCell:
        """The cell that the layer runs."""
        return self.options.cell

    @property
    def heads(self) -> int:
        """The number of heads: `num_heads`, or the cell's own."""
        return self.cell.num_heads if self.num_heads is None else self.num_heads

    @property
    def regularizers(self) -> Regularizers:
        """The noise inside the recurrence, in training."""
        return Regularizers(self.recurrent_dropout, self.weight_drop, self.zoneout)

    @property
    def causal(self) -> bool:
        """False if the layer runs backward."""
        return not self.options.reverse

    def output_size(self, input_size: int) -> int:
        """Return P if the hidden state is projected, else H."""
        return self.cell.hidden_size if self.projection_size is None else self.projection_size

    def init(self, key: Key, input_size: int) -> RecurrentParams:
        """Draw the matrices, the biases and the cell's own parameters."""
        return draw_params(self, key, input_size)

    def initial_carry(self, params: RecurrentParams, batch_size: int) -> Any:
        """Return the initial carry of the cell."""
        check_params(self.cell, params)
        dtype = jnp.float32 if params.w_ih is None else params.w_ih.dtype
        return distinct(self.cell.initial_carry(batch_size, dtype))

    def run(
        self, params: RecurrentParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        options = self.options
        if context.return_carries:
            options = dataclasses.replace(options, return_carries=True)
        regularizers, shape = self.regularizers, inputs.shape[:2]
        if context.key is None:
            if (cell := regularizers.expected(self.cell)) is not self.cell:
                options = dataclasses.replace(options, cell=cell)
            return run(options, params, inputs, carry, context)
        params = params._replace(
            w_hh=regularizers.drop(context.key, self.cell, params.w_hh, shape[1])
        )
        masks = regularizers.zoneout_masks(context.key, self.cell, *shape)
        return run(options, params, inputs, carry, context, masks)

    def run_to_end(
        self, params: RecurrentParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run_to_end` does."""
        if self.causal:
            return super().run_to_end(params, inputs, carry, context)
        outputs, carry = self.run(params, inputs, carry, context)
        return outputs[0], carry

    def _arguments(self) -> Iterator[str]:
        _, *arguments = super()._arguments()
        yield from (repr(self.cell), *self.options.changes(), *arguments)


def recurrent(
    cell: BaseCell,
    *,
    kernel_init: str | Initializer = "uniform",
    recurrent_init: str | Initializer | None = None,
    bias_init: str | Initializer = "uniform",
    forget_gate_bias: float | Chrono | None = None,
    projection_size: int | None = None,
    num_heads: int | None = None,
    recurrent_dropout: float = 0.0,
    weight_drop: float = 0.0,
    zoneout: Any = 0.0,
    reverse: bool = False,
    implementation: str | None = None,
    scan_unroll: int | None = None,
    remat_every: int | None = None,
    dtype: DType | None = None,
) -> Recurrent:
    """Return a recurrent layer: `jaxrnn.unroll` of a cell, with parameters to learn.

    Args:
        cell: the cell to run, such as `jaxrnn.lstm(256)`.
        kernel_init: the initialiser of `w_ih`: "normal", "uniform" (+-1/sqrt(H)), "orthogonal",
            "identity", "zeros" or a function (key, shape, dtype) -> array.  It draws gate by gate:
            "orthogonal" makes each gate's block orthogonal.
        recurrent_init: the initialiser of `w_hh`, which draws gate by gate and head by head
            ("uniform" is +-1/sqrt(H / num_heads)); None means `kernel_init`.  "identity" with
            `jaxrnn.rnn(H, "relu")` is the IRNN (Le, Jaitly and Hinton, 2015, arXiv:1504.00941).
        bias_init: the initialiser of the biases.
        forget_gate_bias: the initial bias of forget gates, in place of `bias_init`; 1 keeps them
            open, and memory lasts (Jozefowicz, Zaremba and Sutskever, An empirical exploration of
            recurrent network architectures, 2015, section 2.2).  `jaxrnn.layers.chrono(T)` draws
            the biases for memories that last up to T steps.
        projection_size: P: the hidden state is projected to this width before the gates and the
            layers above read it; `w_hh` is a `LowRank`, PyTorch's `proj_size`.
        num_heads: the gates of each head read only its own slice of the hidden state; with more
            than one head `w_hh` is a `BlockDiagonal`, with H heads it is diagonal.  None means
            `cell.num_heads`, which is 1 for most cells.
        recurrent_dropout: the rate at which units of the hidden state are dropped before the gates
            read it, if a `key` is given; the same units at every step (Gal and Ghahramani, A
            theoretically grounded application of dropout in recurrent neural networks, 2016,
            arXiv:1512.05287).
        weight_drop: the rate at which entries of `w_hh` are dropped, if a `key` is given; the same
            entries at every step and in every row (Merity, Keskar and Socher, Regularizing and
            optimizing LSTM language models, 2018, arXiv:1708.02182).
        zoneout: the probability with which a unit of the carry keeps its value of the step before,
            if a `key` is given; in evaluation it is mixed of both values in these proportions.
            A number, or a carry of numbers, such as `jaxrnn.LSTMCarry(hidden=0.05, memory=0.5)`
            (Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden activations,
            2017, arXiv:1606.01305).
        reverse: run from each sequence's last valid step to its first.  Outputs stay in their
            places, where Keras's `go_backwards` returns that of the last step first; the final
            carry is the one after step 0.
        implementation, scan_unroll, remat_every, dtype: as for `jaxrnn.unroll`.

    Returns:
        A Layer with output size H, or P if projected, whose params are `RecurrentParams`; it is
        causal unless reversed.

    Raises:
        TypeError: `cell` is not a cell, or a number has the wrong type.
        ValueError: no initialiser has that name, a number is out of range, or options exclude each
            other.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8), projection_size=4)
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape, carry.memory.shape
        ((5, 2, 4), (2, 8))
    """
    return Recurrent(
        Options(cell, implementation, scan_unroll, remat_every, dtype, reverse),
        kernel_init,
        recurrent_init,
        bias_init,
        forget_gate_bias,
        projection_size,
        num_heads,
        recurrent_dropout,
        weight_drop,
        zoneout,
    )
