"""The layers as modules of `flax.nnx`, for models that are written with it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.checks import check_array, check_mask, check_number, check_positive_integer
from jaxrnn.interop.weights import check_params
from jaxrnn.layers import Layer, bidirectional, dropout, recurrent, stack
from jaxrnn.typing import AnyArray, Bool, Carry, DType, Float, Integer, Key, Params


class Recurrent(nnx.Module):
    """What `RNN`, `GRU` and `LSTM` share: recurrent layers, one upon the other, as one module.

    `module.weights` are the layer's parameters in their own structure, each array an `nnx.Param`.
    As for `nnx.Dropout`, `module.train()` and `module.eval()` turn dropout on and off.

    Args:
        in_features: D.
        hidden_features: H.
        num_layers: how many; from the second on each reads the outputs of the one before.
        bidirectional: whether each layer runs in both directions, outputs side by side.
        dropout_rate: the rate at which what a layer hands to the next is dropped.
        projection_size, remat_every, dtype: as for `jaxrnn.recurrent`.
        deterministic: whether nothing is dropped; `train()`, `eval()` and a call can say otherwise.
        rngs: the stream "params" for the initial parameters, "dropout" for what is dropped.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a number is out of range, or there is dropout but no second layer.
        AttributeError: there is dropout, and `rngs` has no stream for it.
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
        """The cell of every layer."""
        raise NotImplementedError

    @property
    def layer(self) -> Layer:
        """What the module computes, as a layer; `module.params()` are its parameters."""
        return _layer(
            self.cell,
            self.num_layers,
            self.bidirectional,
            self.dropout_rate,
            self.projection_size,
            self.remat_every,
            self.dtype,
        )

    def params(self) -> Params:
        """The parameters of `module.layer`, plain arrays."""
        return jax.tree.map(lambda param: param[...], self.weights, is_leaf=_is_variable)

    def set_params(self, params: Params) -> None:
        """Take over parameters of `module.layer`, such as those of a port or of a training run."""
        check_params(self.layer, params, self.in_features)
        variables = jax.tree.leaves(self.weights, is_leaf=_is_variable)
        for variable, array in zip(variables, jax.tree.leaves(params), strict=True):
            variable.set_value(jnp.asarray(array))

    def initial_carry(self, batch_size: int) -> Carry:
        """Where `batch_size` sequences start."""
        return self.layer.initial_carry(self.params(), batch_size)

    def set_view(self, deterministic: bool | None = None) -> None:
        """What `nnx.view(model, deterministic=...)` sets."""
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
        """Run over sequences, batch first, as `nnx.RNN` does.

        Args:
            inputs: `[B, T, D]`, or token ids `[B, T]` that stand for one-hot rows.
            initial_carry: where the sequences start, None means `module.initial_carry(B)`.
            seq_lengths, resets: `lengths` and `resets` of `jaxrnn.unroll`, batch first.
            return_carry: whether to return the carry after each sequence's last step, too.
            deterministic: whether nothing is dropped; None means `module.deterministic`.
            rngs: what the key of the dropout is drawn from; None means the module's own.

        Returns:
            outputs `[B, T, F]`, or (carry, outputs), in the order of `nnx.RNN`.

        Raises:
            TypeError: a wrong type or dtype.
            ValueError: a wrong rank, size or value.
        """
        check_array("inputs", inputs)
        if inputs.ndim != (2 if jnp.issubdtype(inputs.dtype, jnp.integer) else 3):
            raise ValueError(f"inputs must be [B, T, D] or ids [B, T], got shape {inputs.shape}")
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
        """A key where something is to be dropped, from where `nnx.Dropout` would have it."""
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
        activation: as for `jaxrnn.rnn`.
        options: as for `Recurrent`, `rngs` among them.
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
        """`rnn(hidden_features, activation)`."""
        return rnn(self.hidden_features, self.activation)


class GRU(Recurrent):
    """Layers of `jaxrnn.gru(hidden_features, reset_after=reset_after)`.

    Args:
        reset_after: whether the reset gate scales the recurrent product, or the hidden before it.
        options: as for `Recurrent`, `rngs` among them.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.reset_after = reset_after
        super().__init__(in_features, hidden_features, **options)

    @property
    def cell(self) -> BaseCell:
        """`gru(hidden_features, reset_after=reset_after)`."""
        return gru(self.hidden_features, reset_after=self.reset_after)


class LSTM(Recurrent):
    """Layers of `jaxrnn.lstm(hidden_features)`; the arguments of `Recurrent`."""

    @property
    def cell(self) -> BaseCell:
        """`lstm(hidden_features)`."""
        return lstm(self.hidden_features)


def _layer(
    cell: BaseCell,
    num_layers: int,
    both_directions: bool,
    dropout_rate: float,
    projection_size: int | None,
    remat_every: int | None,
    dtype: DType | None,
) -> Layer:
    one = recurrent(cell, projection_size=projection_size, remat_every=remat_every, dtype=dtype)
    layer: Layer = bidirectional(one) if both_directions else one
    between: list[Layer] = [dropout(dropout_rate)] if dropout_rate > 0 else []
    layers = [layer, *[*between, layer] * (num_layers - 1)]
    return stack(layers) if num_layers > 1 else layer


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)
