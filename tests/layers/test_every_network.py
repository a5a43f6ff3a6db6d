"""Every cell, depth and direction, with and without lengths and resets, against a NumPy loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_vjp
from marks import in_matrix

import jaxrnn

T, B, D, H = 5, 3, 2, 3
CELLS = {
    "rnn": jaxrnn.rnn(H),
    "relu": jaxrnn.rnn(H, jax.nn.relu),
    "gru": jaxrnn.gru(H),
    "gru_reset_before": jaxrnn.gru(H, reset_after=False),
    "lstm": jaxrnn.lstm(H),
}
LENGTHS = np.array([5, 0, 3])
# Among them: before the first step and the last, right behind a sequence's end, in the padding.
RESETS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], bool)
WHEN = {
    "whole": {},
    "lengths": {"lengths": LENGTHS},
    "resets": {"resets": RESETS},
    "both": {"lengths": LENGTHS, "resets": RESETS},
}


def networks(test):
    """Parametrise a test over cells, depths and directions."""
    # Both directions hold one, and two layers one.
    directions = pytest.mark.parametrize("bidirectional", [*in_matrix(False), True])
    depths = pytest.mark.parametrize("num_layers", [*in_matrix(1), 2])
    return directions(depths(pytest.mark.parametrize("name", CELLS)(test)))


def make_network(name, num_layers, bidirectional):
    layer = jaxrnn.recurrent(CELLS[name])
    return jaxrnn.stack([jaxrnn.bidirectional(layer) if bidirectional else layer] * num_layers)


def make_arguments(network, dtype=np.float64, batch_size=B):
    """(params, inputs, carry, reset_carry), none of them zero."""
    random = np.random.default_rng(0)

    def draw(scale, shapes):
        return jax.tree.map(
            lambda like: jnp.asarray(scale * random.normal(size=like.shape), dtype), shapes
        )

    params = draw(0.5, jax.eval_shape(lambda: network.init(jax.random.key(0), D)))
    carry = jax.eval_shape(lambda: network.initial_carry(params, batch_size))
    return params, draw(1, np.empty((T, batch_size, D))), draw(1, carry), draw(1, carry)


def values_and_gradients_of(network, when):
    """(arguments, weights) -> ((outputs, carry), gradients of their weighted sum), compiled."""

    def values(params, inputs, carry, reset_carry):
        restart = reset_carry if "resets" in when else None
        return network.apply(params, inputs, carry, reset_carry=restart, **when)

    @jax.jit
    def run(arguments, weights):
        came, pull_back = jax.vjp(values, *arguments)
        return came, pull_back(weights)

    return run


def assert_close(came, expected, tolerance):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=False)


@pytest.mark.matrix  # tests/test_every_cell.py does the same for more cells and fewer depths
@pytest.mark.parametrize("when", ["whole", "lengths", "resets", "both"])
@networks
def test_outputs_carries_and_gradients(name, num_layers, bidirectional, when, x64):
    """Everything equals a loop in NumPy, which never reads the padding; here it holds NaN."""
    network = make_network(name, num_layers, bidirectional)
    arguments = params, inputs, carry, reset_carry = make_arguments(network)
    padding = np.arange(T)[:, None, None] >= WHEN[when].get("lengths", np.full(B, T))[None, :, None]
    spoilt = params, jnp.where(padding, jnp.nan, inputs), carry, reset_carry
    expected = reference.network(name, *spoilt, **WHEN[when])

    run = values_and_gradients_of(network, WHEN[when])
    weights = (jnp.ones(expected[0].shape), reset_carry)
    values, gradients = run(spoilt, weights)
    # sums of a few dozen terms of size 1 in float64
    assert_close(values, expected, 1e-12)
    # central differences with a step of 1e-5 along a direction of length 10, relative to sums of
    # about 10: the third derivative leaves 1e-9, rounding 1e-10
    check_vjp(
        lambda *at: run(at, weights)[0],
        lambda *at: (run(at, weights)[0], lambda other_weights: run(at, other_weights)[1]),
        spoilt,
        atol=1e-7,
        rtol=1e-7,
        eps=1e-5,
    )
    assert padding.any() == ("lengths" in WHEN[when])
    assert_close((values, gradients), run(arguments, weights), 0)
    assert not np.where(padding, gradients[1], 0).any()


DOCUMENTS = [(0, 0, 2), (0, 2, 5), (1, 0, 3), (2, 0, 2), (2, 2, 4)]  # row, start, end; row 3: none


def pack_documents(network):
    """(run, inputs, the outputs of all documents in one run with resets)."""
    params, inputs, *_ = make_arguments(network, np.float32, batch_size=4)

    @jax.jit
    def run_jitted(params, inputs, when):
        carry = network.initial_carry(params, inputs.shape[1])
        return network.apply(params, inputs, carry, **when)[0]

    def run(inputs, **when):
        return np.asarray(run_jitted(params, inputs, when))

    inputs = np.asarray(inputs)
    resets = np.zeros(inputs.shape[:2], bool)
    for row, start, _ in DOCUMENTS:
        resets[start, row] = True
    return run, inputs, run(inputs, lengths=np.array([5, 3, 4, 0]), resets=resets)


@pytest.mark.parametrize("name", ["gru_reset_before", "lstm", *in_matrix("rnn", "relu", "gru")])
def test_packed_documents_are_the_documents_one_by_one_to_the_last_bit(name):
    """Each document in its row, in an array of the same shape, where XLA sums in the same order."""
    run, inputs, packed = pack_documents(make_network(name, 2, bidirectional=True))
    for row, start, end in DOCUMENTS:
        lengths = (end - start) * (np.arange(4) == row)
        outputs = run(np.roll(inputs, -start, axis=0), lengths=lengths)
        np.testing.assert_array_equal(outputs[: end - start, row], packed[start:end, row])


@pytest.mark.parametrize("name", ["lstm", *in_matrix("rnn", "relu", "gru", "gru_reset_before")])
def test_packed_documents_are_the_documents_alone(name):
    run, inputs, packed = pack_documents(make_network(name, 2, bidirectional=True))
    for row, start, end in DOCUMENTS:
        outputs = run(inputs[start:end, row : row + 1])
        # Other shapes, other orders of sums: a few units in the last place of float32.
        np.testing.assert_allclose(outputs[:, 0], packed[start:end, row], rtol=1e-6, atol=1e-6)
