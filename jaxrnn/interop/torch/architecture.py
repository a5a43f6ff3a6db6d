"""PyTorch's recurrent modules, and which of our layers compute the same function."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.interop.weights import cell_to_port, check_concatenated, check_layer, check_params
from jaxrnn.layers import (
    Bidirectional,
    Dropout,
    Layer,
    LearnedInitialCarry,
    Recurrent,
    Stack,
    bidirectional,
    dropout,
    recurrent,
    stack,
)
from jaxrnn.recurrence import BlockDiagonal, LowRank, RecurrentParams
from jaxrnn.typing import Params

CELLS: dict[str, Callable[[int], Any]] = {
    "RNN_TANH": rnn,
    "RNN_RELU": functools.partial(rnn, activation="relu"),
    "GRU": gru,
    "LSTM": lstm,
}
"""Our cell for each `module.mode`; both have their gates in the same order."""


class Architecture(NamedTuple):
    """The arguments of an nn.RNN, nn.GRU or nn.LSTM."""

    mode: str
    """A key of `CELLS`."""
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    projection_size: int | None = None
    dropout: float = 0.0

    def cell(self) -> BaseCell:
        """Return the cell that every layer runs."""
        return CELLS[self.mode](self.hidden_size)

    def layer(self) -> Layer:
        """Return the stack that computes the same function."""
        one: Layer = recurrent(self.cell(), projection_size=self.projection_size)
        one = bidirectional(one) if self.bidirectional else one
        if self.dropout == 0:
            return stack([one] * self.num_layers)
        return stack([one, *[dropout(self.dropout), one] * (self.num_layers - 1)])

    def suffixes(self) -> list[str]:
        """Return the endings of the weights' names, in the order of PyTorch and of our params."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [f"_l{k}{direction}" for k in range(self.num_layers) for direction in directions]

    def weight_shapes(self, *, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight by name."""
        gates = len(self.cell().gates) * self.hidden_size
        width = self.projection_size or self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for suffix in self.suffixes():
            below = width * (2 if self.bidirectional else 1)
            from_inputs = suffix.removesuffix("_reverse") == "_l0"
            shapes[f"weight_ih{suffix}"] = (gates, self.input_size if from_inputs else below)
            shapes[f"weight_hh{suffix}"] = (gates, width)
            if bias:
                shapes[f"bias_ih{suffix}"] = shapes[f"bias_hh{suffix}"] = (gates,)
            if self.projection_size:
                shapes[f"weight_hr{suffix}"] = (width, self.hidden_size)
        return shapes


def recurrent_params(params: Params) -> list[RecurrentParams]:
    """Return the params of each layer and direction, in the order of `Architecture.suffixes`."""
    leaves = jax.tree.leaves(params, is_leaf=_are_recurrent)
    return [leaf for leaf in leaves if _are_recurrent(leaf)]


def pack_params(layer: Layer, input_size: int, params: Sequence[RecurrentParams]) -> Params:
    """Return the params of a layer from those of `recurrent_params`."""
    expected = jax.eval_shape(lambda: layer.init(jax.random.key(0), input_size))
    return jax.tree.unflatten(jax.tree.structure(expected, is_leaf=_are_recurrent), params)


def architecture_of(layer: Any, params: Params) -> Architecture:
    """Check a layer and its params, and return the PyTorch module with the same function.

    Raises:
        TypeError: `layer` is not a Layer, or `params` do not have its structure.
        ValueError: no module computes the same, or a shape in `params` is wrong.
    """
    check_layer("a PyTorch module", layer)
    entries = layer.layers if isinstance(layer, Stack) else (layer,)
    rate = _dropout_between(entries)
    kinds = [_kind_of(entry) for entry in entries if not isinstance(entry, Dropout)]
    if len(set(kinds)) > 1:
        got = ", ".join(
            f"{mode} of {size} units{' in both directions' if both else ''}"
            for mode, size, both in kinds
        )
        raise ValueError(
            f"all layers of a PyTorch module have the same cell, size and directions, got {got}"
        )
    mode, hidden_size, both = kinds[0]
    recurrents = recurrent_params(params)
    shape: tuple[int, ...] = np.shape(recurrents[0].w_ih) if recurrents else ()
    input_size = shape[0] if len(shape) == 2 else 1
    check_params(layer, params, input_size)
    width = _projection_size(mode, hidden_size, recurrents)
    return Architecture(mode, input_size, hidden_size, len(kinds), both, width, rate)


def _are_recurrent(params: Any) -> bool:
    return isinstance(params, RecurrentParams)


def _dropout_between(entries: Sequence[Layer]) -> float:
    """Return the rate of the dropout between every two layers of a stack, 0 for none."""
    is_dropout = [isinstance(entry, Dropout) for entry in entries]
    if not any(is_dropout):
        return 0.0
    if len(entries) % 2 == 0 or is_dropout != [k % 2 == 1 for k in range(len(entries))]:
        raise ValueError(
            "PyTorch has dropout between every two layers and nowhere else, got a stack of"
            f" {', '.join(map(repr, entries))}"
        )
    dropouts = cast(Sequence[Dropout], entries[1::2])
    if any(entry.variational for entry in dropouts):
        raise ValueError(
            "PyTorch's dropout draws a mask at every step, variational dropout only one for all"
        )
    rates = [entry.rate for entry in dropouts]
    if len(set(rates)) > 1:
        raise ValueError(f"PyTorch's dropout has one rate, got {', '.join(map(str, rates))}")
    return rates[0]


def _kind_of(entry: Layer) -> tuple[str, int, bool]:
    """Return (mode, hidden size, whether it is bidirectional) for one layer of a stack."""
    both = isinstance(entry, Bidirectional)
    if isinstance(entry, Bidirectional):
        check_concatenated("a PyTorch module", entry)
    one = entry.layer if isinstance(entry, Bidirectional) else entry
    if isinstance(one, LearnedInitialCarry):
        raise ValueError(
            "PyTorch's modules do not learn an initial carry: port the layer inside"
            " learned_initial_carry, and the carry with carry_to_torch"
        )
    if not isinstance(one, Recurrent):
        raise ValueError(
            "PyTorch's modules consist of recurrent layers, bidirectional or not, with dropout"
            f" between them, not of {one}"
        )
    cell = cell_to_port("a PyTorch module", one)
    return _mode_of(cell), cell.hidden_size, both


def _mode_of(cell: Any) -> str:
    for mode, make in CELLS.items():
        if cell == make(cell.hidden_size):
            return mode
    if cell == gru(cell.hidden_size, reset_after=False):
        raise ValueError(
            "gru(reset_after=False) resets before the recurrent product, PyTorch resets after it"
        )
    raise ValueError(
        "PyTorch's cells are lstm, gru and rnn with jnp.tanh or jax.nn.relu: this"
        f" {cell.name} has other equations"
    )


def _projection_size(
    mode: str, hidden_size: int, recurrents: Sequence[RecurrentParams]
) -> int | None:
    """Return P if all layers are projected, None if none is."""
    if any(isinstance(own.w_hh, BlockDiagonal) for own in recurrents):
        raise ValueError(
            "num_heads > 1 makes the recurrent weights a BlockDiagonal; PyTorch's are one matrix"
        )
    widths = [
        own.w_hh.down.shape[1] if isinstance(own.w_hh, LowRank) else None for own in recurrents
    ]
    if len(set(widths)) > 1:
        raise ValueError(f"PyTorch has one projection_size for all layers, got {widths}")
    width = widths[0]
    if width is None:
        return None
    if mode != "LSTM":
        raise ValueError(f"PyTorch projects the hidden state of LSTMs only, not of {mode}")
    if width >= hidden_size:
        raise ValueError(
            f"PyTorch's projection must be smaller than hidden_size = {hidden_size},"
            f" got projection_size = {width}"
        )
    return width
