"""Cells whose equations are drawn at random; no unit reads another one."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

SIZE = 4
OF_ONE = [
    jnp.tanh,
    jax.nn.sigmoid,
    jax.nn.relu,
    jax.nn.softplus,
    jax.nn.gelu,
    jnp.sin,
    jnp.square,
    jnp.negative,
    jax.jit(jnp.cos),
    lambda x: 0.5 - x / 3,
    lambda x: x / jnp.sqrt(1 + x * x),
    lambda x: jnp.where(x > 0, x, 0),
    jnp.zeros_like,
    jax.lax.stop_gradient,
]
OF_TWO = [
    jnp.add,
    jnp.subtract,
    jnp.multiply,
    jnp.maximum,
    jnp.logaddexp,
    jax.jit(lambda x, y: x * y),
    lambda x, y: x / (1 + y * y),
    lambda x, y: jnp.where(x > y, x, -y),
]


def random_update(steps):
    """Equations of two gates, two arrays and parameters, given (function, operands) of steps."""

    def update(cell_params, input_gates, hidden_gates, carry):
        values = [
            jnp.broadcast_to(param.reshape(1, -1), carry.hidden.shape)
            for param in jax.tree.leaves(cell_params)
        ]
        values += [carry.hidden, carry.memory, *hidden_gates, *input_gates]
        for number, first, second in steps:
            a, b = values[-1 - first % len(values)], values[-1 - second % len(values)]
            function = (OF_ONE + OF_TWO)[number % (len(OF_ONE) + len(OF_TWO))]
            values.append(function(a) if function in OF_ONE else function(a, b))
        return jaxrnn.LSTMCarry(values[-1] + hidden_gates[0], values[-2])

    return update


def own_params(dtype=np.float32):
    """Parameters of a cell, a number for all units and one for each."""
    return {"all": np.asarray(0.7, dtype), "each": np.linspace(-1, 1, SIZE, dtype=dtype)}


def make_cell(update, init_params=lambda key: ()):
    return jaxrnn.Cell(
        "test",
        SIZE,
        gates=("a", "b"),
        initial_carry=jaxrnn.zero_carry(jaxrnn.LSTMCarry, SIZE),
        update=update,
        init_params=init_params,
    )
