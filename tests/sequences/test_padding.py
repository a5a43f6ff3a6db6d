"""Ragged sequences as padded arrays and back, and what is valid in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

LENGTHS = (3, 0, 5, 1)


def ragged(*trailing, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [(9 * rng.random((n, *trailing))).astype(dtype) for n in LENGTHS]


@pytest.mark.parametrize("trailing", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.int8, bool, jnp.bfloat16])
def test_padding_and_back_gives_the_sequences_of_any_shape_and_dtype(trailing, dtype):
    sequences = ragged(*trailing, dtype=dtype)
    padded, lengths = jaxrnn.pad(sequences)
    assert padded.shape == (5, 4, *trailing)
    assert (padded.dtype, lengths.dtype) == (dtype, np.int32)
    assert not padded[np.arange(5)[:, None] >= lengths[None]].any()
    for came, expected in zip(jaxrnn.unpad(padded, lengths), sequences, strict=True):
        np.testing.assert_array_equal(came, expected)


def test_padding_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    sequences = ragged(2)
    padded, lengths = jaxrnn.pad(sequences)
    expected = torch.nn.utils.rnn.pad_sequence([torch.tensor(steps) for steps in sequences])
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(lengths, LENGTHS)


def test_lists_get_the_dtypes_of_jax_and_an_empty_one_fits_all():
    padded, lengths = jaxrnn.pad([[[0.5, 1.0]], [], [[2.0, 3.0], [4.0, 5.0]]])
    assert padded.dtype == np.float32
    assert padded.shape == (2, 3, 2)
    assert lengths.tolist() == [1, 0, 2]
    assert jaxrnn.pad([[], [1, 2]])[0].dtype == np.int32
    assert jaxrnn.pad([[]])[0].shape == (1, 1)  # at least one step, so that it can be run


def test_padding_to_a_multiple_shares_programs():
    shapes = {jaxrnn.pad([[1] * n], multiple_of=4)[0].shape for n in (0, 1, 3, 4)}
    assert shapes == {(4, 1)}
    assert jaxrnn.pad([[1] * 5], multiple_of=4)[0].shape == (8, 1)


def test_the_valid_steps_are_those_before_the_length():
    came = jax.jit(jaxrnn.valid_steps, static_argnums=1)(jnp.array(LENGTHS), 5)
    expected = [[t < n for n in LENGTHS] for t in range(5)]
    np.testing.assert_array_equal(came, expected)


@pytest.mark.parametrize("trailing", [(), (2,), (2, 3)])
def test_the_last_valid_step_is_that_of_each_row_and_alone_gets_a_gradient(trailing):
    values, lengths = jaxrnn.pad(ragged(*trailing))
    padding = np.arange(5)[:, None] >= lengths[None]
    values[padding] = np.nan

    def last(values):
        return jaxrnn.last_valid(values, lengths)

    came, pull_back = jax.vjp(jax.jit(last), jnp.asarray(values))
    expected, gradient = np.zeros((4, *trailing), np.float32), np.zeros_like(values)
    for b, n in enumerate(LENGTHS):
        if n:
            expected[b], gradient[n - 1, b] = values[n - 1, b], 1 + b
    np.testing.assert_array_equal(came, expected)
    weights = np.arange(1, 5, dtype=np.float32).reshape(4, *(1 for _ in trailing))
    weights = jnp.broadcast_to(weights, came.shape)
    np.testing.assert_array_equal(pull_back(weights)[0], gradient)


def test_the_last_valid_output_is_the_final_state_of_pytorch():
    torch = pytest.importorskip("torch")
    from jaxrnn.interop.torch import from_torch

    sequences = [steps for steps in ragged(2) if len(steps)]  # PyTorch packs no empty one
    padded, lengths = jaxrnn.pad(sequences)
    module = torch.nn.GRU(2, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(padded), torch.tensor(lengths), enforce_sorted=False
    )
    _, final = module(packed)
    layer, params = from_torch(module)
    outputs, (carry,) = layer.apply(params, padded, lengths=lengths)
    came = jaxrnn.last_valid(outputs, lengths)
    np.testing.assert_array_equal(came, carry.hidden)
    np.testing.assert_allclose(came, final[0].detach(), atol=1e-6)  # float32, 5 steps


PADDED = np.zeros((5, 4), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "sequences must hold at least one sequence, got none", lambda: jaxrnn.pad([])),
        (
            ValueError,
            r"sequences\[1\] must have trailing shape \(2,\) like those before it, got \(3,\)",
            lambda: jaxrnn.pad([np.ones((4, 2)), np.ones((4, 3))]),
        ),
        (
            TypeError,
            r"sequences\[2\] must be int32 like those before it, got float32",
            lambda: jaxrnn.pad([[1], [], [1.5]]),
        ),
        (TypeError, r"sequences\[0\] must hold numbers, got <U1", lambda: jaxrnn.pad(["a"])),
        (
            ValueError,
            r"sequences\[0\] must lie in -2147483648\.\.2147483647, got 3000000000",
            lambda: jaxrnn.pad([[3_000_000_000]]),
        ),
        (
            ValueError,
            r"sequences\[1\] must be \[n, ...\], got shape \(\)",
            lambda: jaxrnn.pad([[1], 2]),
        ),
        (
            ValueError,
            r"sequences\[0\] must have steps of one shape: setting an array element",
            lambda: jaxrnn.pad([[[1], [2, 3]]]),
        ),
        (
            ValueError,
            "multiple_of must be at least 1, got 0",
            lambda: jaxrnn.pad([[1]], multiple_of=0),
        ),
        (
            ValueError,
            r"array must be \[T, B, ...\]",
            lambda: jaxrnn.unpad(PADDED[0], np.array([1])),
        ),
        (TypeError, "array must be an array", lambda: jaxrnn.unpad([[1]], np.array([1]))),
        (
            ValueError,
            r"lengths must have shape \[B\] = \(4,\), got \(3,\)",
            lambda: jaxrnn.unpad(PADDED, np.array([1, 2, 3])),
        ),
        (
            ValueError,
            r"lengths must lie in 0\.\.5, got 6",
            lambda: jaxrnn.last_valid(PADDED, np.array([6, 0, 0, 0])),
        ),
        (
            ValueError,
            r"outputs must be \[T, B, ...\], got shape \(4,\)",
            lambda: jaxrnn.last_valid(PADDED[0], np.array([1])),
        ),
        (TypeError, "lengths must be an array, got list", lambda: jaxrnn.valid_steps([1], 2)),
        (ValueError, "num_steps must be at least 1", lambda: jaxrnn.valid_steps(np.array([0]), 0)),
        (
            ValueError,
            r"lengths must have shape \[B\] = \(2,\), got \(1, 2\)",
            lambda: jaxrnn.valid_steps(np.array([[1, 2]]), 2),
        ),
    ],
)
def test_sequences_that_do_not_fit_are_named(error, message, call, as_users_run):
    with pytest.raises(error, match=message):
        call()
