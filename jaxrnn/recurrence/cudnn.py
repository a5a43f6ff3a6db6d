"""NVIDIA's kernels for the LSTM: one call for the whole sequence, by `jax.experimental.rnn`.

Reverse mode only, and not under vmap, as JAX has it.  Products may use TF32 where JAX's own would,
by `jax_default_matmul_precision`.
"""

from typing import Any

import jax.numpy as jnp

from jaxrnn.cells import LSTMCarry
from jaxrnn.cells.lstm import lstm_update
from jaxrnn.recurrence.boundaries import flip_within, where_rows, zero_padding
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.weights import BlockDiagonal, LowRank, Masked, RecurrentParams


def check_eligible(options: Options, params: RecurrentParams, inputs: Any, resets: Any) -> None:
    """Raise a ValueError that says what cuDNN does not have."""
    cell, w_hh, dtype = options.cell, params.w_hh, params.w_ih.dtype
    obstacles = [
        (
            getattr(cell, "update", None) is not lstm_update,
            f"the cell {cell.name}: it has jaxrnn.lstm",
        ),
        (not jnp.issubdtype(inputs.dtype, jnp.floating), "token ids: embed them"),
        (resets is not None, "resets"),
        (isinstance(w_hh, LowRank | BlockDiagonal | Masked), f"w_hh as {type(w_hh).__name__}"),
        (dtype != jnp.float32, f"{dtype} params: it has float32"),
        (options.dtype is not None, f"dtype={options.dtype}: it has float32"),
        (options.return_carries, "return_carries"),
    ]
    for there, obstacle in obstacles:
        if there:
            raise ValueError(f'implementation "cudnn" does not take {obstacle}')


def run(
    params: RecurrentParams, inputs: Any, valid: Any, carry: LSTMCarry, reverse: bool
) -> tuple[Any, LSTMCarry]:
    """As `unroll` of `jaxrnn.lstm`: (outputs [T, B, H], the carry after the last step)."""
    from jax.experimental import rnn

    num_steps, batch_size, input_size = inputs.shape
    hidden_size = carry.hidden.shape[1]
    lengths = jnp.full(batch_size, num_steps, jnp.int32)
    if valid is not None:
        lengths = valid.sum(axis=0, dtype=jnp.int32)
    if reverse:
        inputs = flip_within(lengths, inputs)
    arrays = (
        inputs.swapaxes(0, 1),
        carry.hidden[None],
        carry.memory[None],
        _flat(params),
        jnp.maximum(lengths, 1),  # it has no empty sequences
    )
    num_layers, rate, bidirectional = 1, 0.0, False
    try:
        outputs, hidden, memory = rnn.lstm(
            *arrays, input_size, hidden_size, num_layers, rate, bidirectional
        )
    except (AttributeError, RuntimeError) as error:  # JAX asks cuDNN how much memory it needs
        raise ValueError(
            'implementation "cudnn" needs a GPU with cuDNN, and jaxlib\'s plugin for it, where the'
            " program is traced; None runs on any device"
        ) from error
    outputs = zero_padding(valid, outputs.swapaxes(0, 1))
    last = where_rows(lengths > 0, LSTMCarry(hidden[0], memory[0]), carry)
    return (flip_within(lengths, outputs) if reverse else outputs), last


def _flat(params: RecurrentParams) -> Any:
    """All weights as cuDNN has them: gates i, f, g, o as ours, a row each, and two biases."""
    w_hh: Any = params.w_hh
    kernels = [params.w_ih.T.ravel(), w_hh.T.ravel()]
    return jnp.concatenate([*kernels, params.b_ih, jnp.zeros_like(params.b_ih)])
