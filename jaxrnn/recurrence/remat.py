"""Long sequences in little memory: store the carry between chunks and recompute the chunks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.recurrence.options import Options


def run_in_chunks(
    run: Callable[..., tuple[Any, Any]],
    options: Options,
    params: Any,
    sequence: Any,
    carry: Any,
    reset_carry: Any,
) -> tuple[Any, Any]:
    """Run chunks of `remat_every` steps one after another, and rerun each in the backward pass.

    `run(params, chunk, carry, reset_carry)` returns (arrays over time, carry) of a chunk of
    `sequence`, a NamedTuple (inputs, valid, ...).  It also computes the input gates of the
    chunk: for the whole sequence they would be the largest array of all.  If `remat_every` does not
    divide T, the last chunk is padded with invalid steps.

    Reference:
        Chen et al., Training deep nets with sublinear memory cost, 2016, arXiv:1604.06174.
    """
    num_steps, batch_size = sequence.inputs.shape[:2]
    size = min(options.remat_every or num_steps, num_steps)
    num_padding = -num_steps % size
    if num_padding and sequence.valid is None:
        sequence = sequence._replace(valid=jnp.ones((num_steps, batch_size), bool))

    def in_chunks(over_time: Any, mode: str = "constant") -> Any:
        padding = [(0, num_padding)] + [(0, 0)] * (over_time.ndim - 1)
        padded = jnp.pad(over_time, padding, mode=mode)
        return padded.reshape(len(padded) // size, size, *over_time.shape[1:])

    inputs, *others = sequence
    chunks = type(sequence)(in_chunks(inputs, "edge"), *jax.tree.map(in_chunks, others))

    @jax.checkpoint
    def run_rematerialised(
        params: Any, chunk: Any, carry: Any, reset_carry: Any
    ) -> tuple[Any, Any]:
        return run(params, chunk, carry, reset_carry)

    def step(carry: Any, chunk: Any) -> tuple[Any, Any]:
        kept, carry = run_rematerialised(params, chunk, carry, reset_carry)
        return carry, kept

    carry, kept = lax.scan(step, carry, chunks, reverse=options.reverse)

    def in_one(kept: Any) -> Any:
        return kept.reshape(kept.shape[0] * size, *kept.shape[2:])[:num_steps]

    return jax.tree.map(in_one, kept), carry
