"""A user's script, for `mypy`: what is right passes, and each wrong call is found.

Each `ignore` names the error that it expects, and one that is not needed is an error itself.
"""

from typing import Any

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn.typing import Gates


def mgu_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: jaxrnn.HiddenCarry
) -> jaxrnn.HiddenCarry:
    (x_f, x_n), (h_f, h_n) = input_gates, hidden_gates
    f = jax.nn.sigmoid(x_f + h_f)
    return jaxrnn.HiddenCarry((1 - f) * carry.hidden + f * jnp.tanh(x_n + f * h_n))


def mgu(hidden_size: int) -> jaxrnn.Cell:
    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, hidden_size)
    gates = ("update", "candidate")
    return jaxrnn.Cell("mgu", hidden_size, gates=gates, initial_carry=zeros, update=mgu_update)


cell = mgu(32)
layer = jaxrnn.stack([jaxrnn.recurrent(cell), jaxrnn.bidirectional(jaxrnn.recurrent(cell))])
params = layer.init(jax.random.key(0), 8)
inputs = jnp.ones((5, 3, 8))
lengths = jnp.array([5, 0, 2])
outputs, carry = layer.apply(params, inputs, lengths=lengths)
outputs, carry = layer.apply(params, inputs, layer.initial_carry(params, 3), lengths=lengths)
own = jaxrnn.recurrent(cell).init(jax.random.key(0), 8)
outputs, carry = jaxrnn.unroll(cell, own, inputs, cell.initial_carry(3), return_carries=True)
print(outputs.shape, cell.initial_carry(3, jnp.bfloat16), layer.summary(params))

layer.apply(params, inputs, lenghts=lengths)  # type: ignore[call-arg]
layer.apply(params, inputs, carry, lengths)  # type: ignore[call-arg]
jaxrnn.unroll(cell, own, inputs, revers=True)  # type: ignore[call-arg]
jaxrnn.Cell("x", 3, num_gates=2, initial_carry=cell.initial_carry, update=mgu_update)  # type: ignore[call-arg]
jaxrnn.Cell("x", 3, gates=("a",), initial_carry=cell.initial_carry, update=len)  # type: ignore[arg-type]
jaxrnn.stack([cell])  # type: ignore[list-item]
jaxrnn.recurrent(cell, num_head=2)  # type: ignore[call-arg]
