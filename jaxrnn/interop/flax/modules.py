"""Recurrent layers as `flax.nnx` modules, for models written with nnx."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.checks import (
    check_array,
    check_mask,
    check_number,
    check_positive_integer,
    check_shape,
)
from jaxrnn.interop.weights import check_params
from jaxrnn.layers import Layer, bidirectional, dropout, recurrent, stack
from jaxrnn.typing import AnyArray, Bool, Carry, DType, Float, Integer, Key, Params


class Recurrent(nnx.Module):
    """The base of `RNN`, `GRU` and `LSTM`: stacked recurrent layers as one module.

    `module.weights` holds the layer's parameters in jaxrnn's structure, each array an `nnx.Param`.
    As for `nnx.Dropout`, `module.train()` and `module.eval()` turn dropout on and off.

    Args:
        in_features, hidden_features: D and H.
        num_layers: number of layers; each reads the outputs of the layer below.
        bidirectional: whether each layer runs in both directions, with concatenated outputs.
        dropout_rate: rate of dropout between layers.
        projection_size, remat_every, dtype: as for `jaxrnn.recurrent`.
        deterministic: whether dropout is off; `train()`, `eval()` and each call can override it.
        rngs: its stream "params" draws the initial parameters, "dropout" the dropout masks.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a number is out of range, or there is dropout but no second layer.
        AttributeError: there is dropout, but `rngs` has no stream for it.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout_rate: float = 0.0,
        projection_size: int | None = None,
        remat_every: int | None = None,
        dtype: DType | None = None,
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        check_positive_integer("in_features", in_features)
        check_positive_integer("num_layers", num_layers)
        check_number("dropout_rate", dropout_rate, low=0.0, high=1.0)
        if dropout_rate > 0 and num_layers == 1:
            raise ValueError("dropout_rate drops between layers: num_layers must be at least 2")
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout_rate = dropout_rate
        self.projection_size = projection_size
        self.remat_every = remat_every
        self.dtype = None if dtype is None else jnp.dtype(dtype)
        self.deterministic = deterministic
        params = self.layer.init(rngs.params(), in_features)
        self.weights = nnx.data(jax.tree.map(nnx.Param, params))
        self.rngs = nnx.data(rngs.dropout.fork() if dropout_rate > 0 else None)

    @property
    def cell(self) -> BaseCell:
        """The cell that every layer runs."""
        raise NotImplementedError

    @property
    def layer(self) -> Layer:
        """The module as a jaxrnn layer, whose parameters are `module.params()`."""
        layer: Layer = recurrent(
            self.cell,
            projection_size=self.projection_size,
            remat_every=self.remat_every,
            dtype=self.dtype,
        )
        layer = bidirectional(layer) if self.bidirectional else layer
        between = [dropout(self.dropout_rate)] if self.dropout_rate > 0 else []
        layers = [layer, *[*between, layer] * (self.num_layers - 1)]
        return stack(layers) if self.num_layers > 1 else layer

    def params(self) -> Params:
        """Return the parameters of `module.layer` as plain arrays."""
        return jax.tree.map(lambda param: param[...], self.weights, is_leaf=_is_variable)

    def set_params(self, params: Params) -> None:
        """Replace the parameters by others of `module.layer`, such as ported or trained ones."""
        check_params(self.layer, params, self.in_features)
        variables = jax.tree.leaves(self.weights, is_leaf=_is_variable)
        for variable, array in zip(variables, jax.tree.leaves(params), strict=True):
            variable.set_value(jnp.asarray(array))

    def initial_carry(self, batch_size: int) -> Carry:
        """Return the carry that `batch_size` sequences start from."""
        return self.layer.initial_carry(self.params(), batch_size)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Set `deterministic`, as `nnx.view(model, deterministic=...)` does."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(
        self,
        inputs: Float[AnyArray, "B T D"] | Integer[AnyArray, "B T"],
        *,
        initial_carry: Carry | None = None,
        seq_lengths: Integer[AnyArray, "B"] | None = None,
        resets: Bool[AnyArray, "B T"] | None = None,
        return_carry: bool = False,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Key | None = None,
    ) -> Any:
        """Run the layers over sequences, batch first, as `nnx.RNN` does.

        Args:
            inputs: `[B, T, D]`, or token ids `[B, T]` that stand for one-hot rows.
            initial_carry: where the sequences start; None means `module.initial_carry(B)`.
            seq_lengths, resets: `lengths` and `resets` of `jaxrnn.unroll`, batch first.
            return_carry: whether to also return the carry after each sequence's last step.
            deterministic: whether dropout is off; None means `module.deterministic`.
            rngs: source of the dropout key; None means the module's own.

        Returns:
            outputs `[B, T, F]`, or (carry, outputs), in the order of `nnx.RNN`.

        Raises:
            TypeError, ValueError: an argument has the wrong type, dtype, rank, size or value.
        """
        check_array("inputs", inputs)
        if inputs.ndim != (2 if jnp.issubdtype(inputs.dtype, jnp.integer) else 3):
            raise ValueError(f"inputs must be [B, T, D] or ids [B, T], got shape {inputs.shape}")
        if seq_lengths is not None:
            check_array("seq_lengths", seq_lengths)
            check_shape("seq_lengths", seq_lengths.shape, inputs.shape[:1], "[B]")
        if resets is not None:
            check_mask("resets", resets, inputs.shape[:2])
        params = self.params()
        if initial_carry is None:
            initial_carry = self.layer.initial_carry(params, inputs.shape[0])
        outputs, carry = self.layer.apply(
            params,
            jnp.swapaxes(inputs, 0, 1),
            initial_carry,
            lengths=seq_lengths,
            resets=None if resets is None else jnp.swapaxes(resets, 0, 1),
            key=self._dropout_key(deterministic, rngs),
        )
        outputs = jnp.swapaxes(outputs, 0, 1)
        return (carry, outputs) if return_carry else outputs

    def _dropout_key(self, deterministic: bool | None, rngs: Any) -> Key | None:
        """Return the key that `nnx.Dropout` would draw, or None without dropout."""
        deterministic = self.deterministic if deterministic is None else deterministic
        if self.dropout_rate == 0 or deterministic:
            return None
        rngs = self.rngs if rngs is None else rngs
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs.dropout
        return rngs() if isinstance(rngs, nnx.RngStream) else rngs


class RNN(Recurrent):
    """Layers of `jaxrnn.rnn(hidden_features, activation)`.

    Args:
        activation: as for `jaxrnn.rnn`; the other arguments are those of `Recurrent`.

    Examples:
        >>> from flax import nnx
        >>> from jaxrnn.interop.flax import RNN
        >>> RNN(4, 8, activation="relu", rngs=nnx.Rngs(0)).layer
        Recurrent(rnn(8))
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: str | Callable[[Any], Any] = "tanh",
        **options: Any,
    ) -> None:
        self.activation = activation
        super().__init__(in_features, hidden_features, **options)

    @property
    def cell(self) -> BaseCell:
        """The cell `rnn(hidden_features, activation)`."""
        return rnn(self.hidden_features, self.activation)


class GRU(Recurrent):
    """Layers of `jaxrnn.gru(hidden_features, reset_after=reset_after)`.

    Args:
        reset_after: as for `jaxrnn.gru`; the other arguments are those of `Recurrent`.

    Examples:
        >>> from flax import nnx
        >>> from jaxrnn.interop.flax import GRU
        >>> GRU(4, 8, num_layers=2, dropout_rate=0.1, rngs=nnx.Rngs(0)).layer
        Stack(Recurrent(gru(8)), Dropout(0.1), Recurrent(gru(8)))
    """

    def __init__(
        self, in_features: int, hidden_features: int, *, reset_after: bool = True, **options: Any
    ) -> None:
        self.reset_after = reset_after
        super().__init__(in_features, hidden_features, **options)

    @property
    def cell(self) -> BaseCell:
        """The cell `gru(hidden_features, reset_after=reset_after)`."""
        return gru(self.hidden_features, reset_after=self.reset_after)


class LSTM(Recurrent):
    """Layers of `jaxrnn.lstm(hidden_features)`, with the arguments of `Recurrent`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxrnn.interop.flax import LSTM
        >>> model = LSTM(4, 8, bidirectional=True, rngs=nnx.Rngs(0))
        >>> model(jnp.ones((3, 5, 4)), seq_lengths=jnp.array([5, 0, 2])).shape
        (3, 5, 16)
    """

    @property
    def cell(self) -> BaseCell:
        """The cell `lstm(hidden_features)`."""
        return lstm(self.hidden_features)


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)
