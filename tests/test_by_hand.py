"""The ways "by hand" of our own column in docs/recurrence.md: each does what it says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

T, B, D, H = 6, 3, 4, 4
LAYER = jaxrnn.recurrent(jaxrnn.lstm(H))
PARAMS = LAYER.init(jax.random.key(0), D)
INPUTS = jax.random.normal(jax.random.key(1), (T, B, D))


def test_the_states_of_every_step_by_steps_in_a_scan():
    def advance(carry, inputs):
        _, carry = jaxrnn.step(LAYER, PARAMS, inputs, carry)
        return carry, carry

    last, states = jax.lax.scan(advance, LAYER.initial_carry(PARAMS, B), INPUTS)
    outputs, carry = LAYER.apply(PARAMS, INPUTS, LAYER.initial_carry(PARAMS, B))
    np.testing.assert_allclose(states.hidden, outputs, atol=1e-6)
    np.testing.assert_array_equal(states.memory[-1], last.memory)
    np.testing.assert_allclose(last.memory, carry.memory, atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Residual(jaxrnn.Layer):
    """What a layer says of its inputs, and these."""

    layer: jaxrnn.Layer

    def output_size(self, input_size):
        return input_size

    def init(self, key, input_size):
        return self.layer.init(key, input_size)

    def initial_carry(self, params, batch_size):
        return self.layer.initial_carry(params, batch_size)

    def run(self, params, inputs, carry, context):
        outputs, carry = self.layer.run(params, inputs, carry, context)
        return inputs + outputs, carry


def test_a_skip_connection_by_a_layer_of_ones_own():
    deep = jaxrnn.stack([Residual(LAYER), Residual(LAYER)])
    params = deep.init(jax.random.key(0), D)
    outputs, _ = deep.apply(params, INPUTS, deep.initial_carry(params, B))
    between = INPUTS + LAYER.apply(params[0], INPUTS, LAYER.initial_carry(params[0], B))[0]
    expected = between + LAYER.apply(params[1], between, LAYER.initial_carry(params[1], B))[0]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_a_convolutional_recurrence_by_a_step_cell():
    """One channel along a ring of H places: its convolution is a circulant matrix."""

    def step(params, input_gates, carry):
        shifted = (jnp.roll(carry.hidden, k - 1, axis=-1) * w for k, w in enumerate(params.cell))
        return jaxrnn.HiddenCarry(jnp.tanh(input_gates[0] + sum(shifted)))

    kernel = jnp.array([0.3, -0.2, 0.5])
    cell = jaxrnn.StepCell(
        "convolutional",
        H,
        gates=("candidate",),
        initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, H),
        step=step,
        init_params=lambda key: kernel,
    )
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    outputs, _ = jaxrnn.unroll(cell, params, INPUTS, cell.initial_carry(B))
    circulant = sum(np.roll(np.eye(H), k - 1, axis=1) * kernel[k] for k in range(3))
    dense = params._replace(w_hh=jnp.asarray(circulant, jnp.float32), cell=())
    expected, _ = jaxrnn.unroll(jaxrnn.rnn(H), dense, INPUTS, jaxrnn.rnn(H).initial_carry(B))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
