"""Cells and data that the tests of the recurrence share."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxrnn

T, B, D, H = 7, 5, 4, 6


def peephole_update(own, input_gates, hidden_gates, carry):
    """The LSTM with peepholes (Gers and Schmidhuber, 2000): a cell as a user writes it."""
    i, f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    i = jax.nn.sigmoid(i + own["i"][None] * carry.memory)
    f = jax.nn.sigmoid(f + own["f"][None] * carry.memory)
    memory = f * carry.memory + i * jnp.tanh(g)
    o = jax.nn.sigmoid(o + own["o"][None] * memory)
    return jaxrnn.LSTMCarry(o * jnp.tanh(memory), memory)


def peephole(hidden_size):
    def init_params(key):
        keys = jax.random.split(key, 3)
        return {g: jax.random.normal(k, (hidden_size,)) for g, k in zip("ifo", keys, strict=True)}

    return jaxrnn.Cell(
        "peephole",
        hidden_size,
        gates=("input", "forget", "candidate", "output"),
        initial_carry=jaxrnn.zero_carry(jaxrnn.LSTMCarry, hidden_size),
        update=peephole_update,
        init_params=init_params,
    )


BUILT_IN = {"rnn": jaxrnn.rnn(H), "gru": jaxrnn.gru(H), "lstm": jaxrnn.lstm(H)}
CELLS = {**BUILT_IN, "relu": jaxrnn.rnn(H, jax.nn.relu), "peephole": peephole(H)}

WHEN = {
    "whole": {},
    "lengths": {"lengths": jnp.array([7, 0, 3, 1, 6])},
    "resets": {
        "resets": jnp.array([[(3 * t + 2 * b) % 5 == 0 for b in range(B)] for t in range(T)])
    },
}
WHEN["both"] = WHEN["lengths"] | WHEN["resets"]


class Case(NamedTuple):
    """A cell with random parameters and data."""

    cell: jaxrnn.Cell
    params: jaxrnn.RecurrentParams
    inputs: Any
    carry: Any
    reset_carry: Any


def make_case(name: str, dtype=jnp.float64, seed: int = 0) -> Case:
    cell = CELLS[name]
    keys = iter(jax.random.split(jax.random.key(seed), 12))

    def normal(*shape):
        return 0.5 * jax.random.normal(next(keys), shape, dtype)

    gates = len(cell.gates) * H
    params = jaxrnn.RecurrentParams(
        w_ih=normal(D, gates),
        w_hh=normal(H, gates),
        b_ih=normal(gates),
        b_hh=normal(gates) if cell.hidden_bias else None,
        cell=jax.tree.map(lambda p: p.astype(dtype), cell.init_params(next(keys))),
    )
    zeros = cell.initial_carry(B, dtype)
    carries = [type(zeros)(*(normal(B, H) for _ in zeros)) for _ in range(2)]
    return Case(cell, params, normal(T, B, D), *carries)
