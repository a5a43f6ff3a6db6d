"""NVIDIA's LSTM kernels, called once per sequence through `jax.experimental.rnn`.

JAX supports them in reverse mode only, and not under vmap.  Products may use TF32 wherever
`jax_default_matmul_precision` allows it.
"""

from typing import Any

import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from jaxrnn.cells import LSTMCarry
from jaxrnn.cells.lstm import lstm_update
from jaxrnn.recurrence.boundaries import flip_within, where_rows, zero_padding
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.weights import BlockDiagonal, LowRank, Masked, RecurrentParams


def check_eligible(
    options: Options, params: RecurrentParams, inputs: Any, resets: Any, zoneout: Any
) -> None:
    """Raise a ValueError that names what cuDNN does not support."""
    cell, w_hh, dtype = options.cell, params.w_hh, params.w_ih.dtype
    obstacles = [
        (
            getattr(cell, "update", None) is not lstm_update,
            f"the cell {cell.name}, only jaxrnn.lstm",
        ),
        (not jnp.issubdtype(inputs.dtype, jnp.floating), "token ids: embed them"),
        (resets is not None, "resets"),
        (zoneout is not None, "zoneout"),
        (isinstance(w_hh, LowRank | BlockDiagonal | Masked), f"w_hh as {type(w_hh).__name__}"),
        (dtype != jnp.float32, f"{dtype} params, only float32"),
        (options.dtype is not None, f"dtype={options.dtype}, only float32"),
        (options.return_carries, "return_carries"),
    ]
    for present, obstacle in obstacles:
        if present:
            raise ValueError(f'implementation "cudnn" does not take {obstacle}')


def run(
    params: RecurrentParams, inputs: Any, valid: Any, carry: LSTMCarry, reverse: bool
) -> tuple[Any, LSTMCarry]:
    """Run `jaxrnn.lstm` over a sequence.

    Returns:
        (outputs `[T, B, H]`, the carry after the last step)
    """
    from jax.experimental import rnn

    num_steps, batch_size, input_size = inputs.shape
    hidden_size = carry.hidden.shape[1]
    lengths = jnp.full(batch_size, num_steps, jnp.int32)
    if valid is not None:
        lengths = valid.sum(axis=0, dtype=jnp.int32)
    if reverse:
        inputs = flip_within(lengths, inputs)
    arrays = (
        _row_major(inputs.swapaxes(0, 1)),
        _row_major(carry.hidden[None]),
        _row_major(carry.memory[None]),
        _flatten_weights(params),
        jnp.maximum(lengths, 1),  # cuDNN takes no empty sequences
    )
    num_layers, rate, bidirectional = 1, 0.0, False
    try:
        outputs, hidden, memory = map(
            _row_major,
            rnn.lstm(*arrays, input_size, hidden_size, num_layers, rate, bidirectional),
        )
    except (AttributeError, RuntimeError) as error:  # JAX asks cuDNN for its workspace size
        raise ValueError(
            'implementation "cudnn" needs a GPU with cuDNN, and jaxlib\'s plugin for it, on the'
            " machine that traces the program; None runs on any device"
        ) from error
    outputs = zero_padding(valid, outputs.swapaxes(0, 1))
    last = where_rows(lengths > 0, LSTMCarry(hidden[0], memory[0]), carry)
    return (flip_within(lengths, outputs) if reverse else outputs), last


def _row_major(array: Any) -> Any:
    """Fix the layout of an array `[., ., .]` and of its cotangent.

    The kernel takes its operands and results to be row-major, but JAX's call of it does not say so.
    XLA may then turn a transposition next to it into another layout, and the kernel reads batch as
    time.
    """
    return with_layout_constraint(array, Layout(major_to_minor=(0, 1, 2)))


def _flatten_weights(params: RecurrentParams) -> Any:
    """Return all weights as one vector in cuDNN's layout.

    The gates have our order i, f, g, o, the matrices are transposed, and the second bias is zero.
    """
    w_hh: Any = params.w_hh
    kernels = [params.w_ih.T.ravel(), w_hh.T.ravel()]
    return jnp.concatenate([*kernels, params.b_ih, jnp.zeros_like(params.b_ih)])
