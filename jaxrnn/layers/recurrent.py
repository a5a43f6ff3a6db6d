"""The layer that runs a cell over time."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, StepCell
from jaxrnn.checks import FLOAT32_MAX, check_number, check_positive_integer
from jaxrnn.layers.dropout import dropout_mask
from jaxrnn.layers.initializers import check_initializer, initializer
from jaxrnn.layers.layer import Layer
from jaxrnn.recurrence import BlockDiagonal, LowRank, Masked, RecurrentParams
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
    forget_gate_bias: float | None = None
    projection_size: int | None = None
    num_heads: int = 1
    recurrent_dropout: float = 0.0

    def __post_init__(self) -> None:
        for init in (self.kernel_init, self.recurrent_init or "zeros", self.bias_init):
            check_initializer(init)
        cell = self.cell
        if self.forget_gate_bias is not None:
            bias = self.forget_gate_bias
            check_number("forget_gate_bias", bias, low=-FLOAT32_MAX, high=FLOAT32_MAX)
            if "forget" not in cell.gates:
                raise ValueError(f"forget_gate_bias needs a cell with a forget gate, got {cell}")
        check_number("recurrent_dropout", self.recurrent_dropout, low=0.0, high=1.0)
        check_positive_integer("num_heads", self.num_heads)
        if cell.hidden_size % self.num_heads:
            raise ValueError(
                f"num_heads must divide hidden_size = {cell.hidden_size}, got {self.num_heads}"
            )
        if self.projection_size is not None:
            check_positive_integer("projection_size", self.projection_size)
            if self.num_heads > 1:
                raise ValueError("num_heads and projection_size were both given: choose one")
        plain = (self.projection_size, self.num_heads, self.recurrent_dropout) == (None, 1, 0)
        if isinstance(cell, StepCell) and not plain:
            raise ValueError(
                f"the StepCell {cell.name} multiplies by w_hh itself: projection_size, num_heads"
                " and recurrent_dropout need a Cell"
            )

    @property
    def cell(self) -> BaseCell:
        """The cell that the layer runs."""
        return self.options.cell

    @property
    def causal(self) -> bool:
        """False if the layer runs backward."""
        return not self.options.reverse

    def output_size(self, input_size: int) -> int:
        """Return P if the hidden state is projected, else H."""
        return self.cell.hidden_size if self.projection_size is None else self.projection_size

    def init(self, key: Key, input_size: int) -> RecurrentParams:
        """Draw the matrices, the biases and the cell's own parameters."""
        w_ih_key, w_hh_key, b_ih_key, b_hh_key, cell_key = jax.random.split(key, 5)
        init_kernel = initializer(self.kernel_init, self.cell.hidden_size)
        return RecurrentParams(
            w_ih=self._kernel(init_kernel, w_ih_key, input_size, self.cell.hidden_size),
            w_hh=self._recurrent_kernel(w_hh_key),
            b_ih=self._input_bias(b_ih_key),
            b_hh=self._bias(b_hh_key) if self.cell.hidden_bias else None,
            cell=self.cell.init_params(cell_key),
        )

    def initial_carry(self, params: RecurrentParams, batch_size: int) -> Any:
        """Return the initial carry of the cell."""
        check_params(self.cell, params)
        return self.cell.initial_carry(batch_size, params.w_ih.dtype)

    def run(
        self, params: RecurrentParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        if context.key is not None and self.recurrent_dropout > 0:
            shape = (inputs.shape[1], self.cell.hidden_size)
            mask = dropout_mask(context.key, self.recurrent_dropout, shape, params.w_ih.dtype)
            params = params._replace(w_hh=Masked(params.w_hh, mask))
        options = self.options
        if context.return_carries:
            options = dataclasses.replace(options, return_carries=True)
        return run(options, params, inputs, carry, context)

    def run_to_end(
        self, params: RecurrentParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run_to_end` does."""
        if self.causal:
            return super().run_to_end(params, inputs, carry, context)
        outputs, carry = self.run(params, inputs, carry, context)
        return outputs[0], carry

    def _kernel(self, init: Initializer, key: Key, num_rows: int, width: int) -> jax.Array:
        keys = jax.random.split(key, len(self.cell.gates))
        return jnp.concatenate([init(k, (num_rows, width), jnp.float32) for k in keys], axis=1)

    def _recurrent_kernel(self, key: Key) -> Any:
        size, width = self.cell.hidden_size, self.cell.hidden_size // self.num_heads
        chosen = self.kernel_init if self.recurrent_init is None else self.recurrent_init
        init = initializer(chosen, width)
        if self.projection_size is not None:
            down_key, up_key = jax.random.split(key)
            down = init(down_key, (size, self.projection_size), jnp.float32)
            return LowRank(down, self._kernel(init, up_key, self.projection_size, size))
        if self.num_heads > 1:
            heads = [
                self._kernel(init, k, width, width) for k in jax.random.split(key, self.num_heads)
            ]
            shape = (self.num_heads, width, len(self.cell.gates), width)
            return BlockDiagonal(jnp.stack(heads).reshape(shape))
        return self._kernel(init, key, size, size)

    def _bias(self, key: Key) -> jax.Array:
        size = self.cell.hidden_size
        return initializer(self.bias_init, size)(key, (len(self.cell.gates) * size,), jnp.float32)

    def _input_bias(self, key: Key) -> jax.Array:
        bias = self._bias(key)
        if self.forget_gate_bias is None:
            return bias
        start = self.cell.gates.index("forget") * self.cell.hidden_size
        return bias.at[start : start + self.cell.hidden_size].set(self.forget_gate_bias)

    def _arguments(self) -> Iterator[str]:
        _, *arguments = super()._arguments()
        yield from (repr(self.cell), *self.options.changes(), *arguments)


def recurrent(
    cell: BaseCell,
    *,
    kernel_init: str | Initializer = "uniform",
    recurrent_init: str | Initializer | None = None,
    bias_init: str | Initializer = "uniform",
    forget_gate_bias: float | None = None,
    projection_size: int | None = None,
    num_heads: int = 1,
    recurrent_dropout: float = 0.0,
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
            "zeros" or a function (key, shape, dtype) -> array.  It draws gate by gate:
            "orthogonal" makes each gate's block orthogonal.
        recurrent_init: the initialiser of `w_hh`, which draws gate by gate and head by head
            ("uniform" is +-1/sqrt(H / num_heads)); None means `kernel_init`.
        bias_init: the initialiser of the biases.
        forget_gate_bias: the initial bias of forget gates, in place of `bias_init`; 1 keeps them
            open, and memory lasts (Jozefowicz, Zaremba and Sutskever, An empirical exploration of
            recurrent network architectures, 2015, section 2.2).
        projection_size: P: the hidden state is projected to this width before the gates and the
            layers above read it; `w_hh` is a `LowRank`, PyTorch's `proj_size`.
        num_heads: the gates of each head read only its own slice of the hidden state; with more
            than one head `w_hh` is a `BlockDiagonal`, with H heads it is diagonal.
        recurrent_dropout: the rate at which units of the hidden state are dropped before the gates
            read it, if a `key` is given; the same units at every step (Gal and Ghahramani, A
            theoretically grounded application of dropout in recurrent neural networks, 2016,
            arXiv:1512.05287).
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
    )
