"""Masks with holes, and padding on the left: as if each sequence had its valid steps only."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

T, B, D, H = 6, 4, 3, 5
# Rows of 3, 6 or no valid steps: each number compiles what runs a row alone.
HOLES = np.random.default_rng(0).permuted(np.tile([[True], [False]], (T // 2, B)), axis=0)
HOLES[:, 2] = False
ON_THE_LEFT = np.arange(T)[:, None] >= np.array([0, 3, 6, 3])
RESETS = np.random.default_rng(1).random((T, B)) < 0.4
MASKS = {"holes": HOLES, "on the left": ON_THE_LEFT}
LAYER = jaxrnn.stack(
    [jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(H))), jaxrnn.recurrent(jaxrnn.gru(H))]
)
PARAMS = LAYER.init(jax.random.key(0), D)
INPUTS = np.random.default_rng(2).normal(size=(T, B, D)).astype(np.float32)


def run_sorted(layer, params, inputs, mask, resets=None):
    steps = jaxrnn.sort_valid(mask)
    moved = None if resets is None else steps.gather_resets(resets)
    outputs, carry = layer.apply(params, steps.gather(inputs), lengths=steps.lengths, resets=moved)
    return steps.put_back(outputs), carry


def resets_alone(mask, resets):
    """A reset anywhere after the valid step before, in a loop."""
    kept, pending = [], False
    for valid, reset in zip(mask, resets, strict=True):
        pending |= reset
        if valid:
            kept.append(pending)
            pending = False
    return np.array(kept, bool)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("resets", [None, RESETS], ids=["whole", "resets"])
def test_sorted_steps_run_as_if_there_were_no_others(mask, resets):
    inputs = np.where(mask[..., None], INPUTS, np.nan)
    outputs, carry = run_sorted(LAYER, PARAMS, inputs, mask, resets)
    assert not outputs[~mask].any()
    for b in range(B):
        valid = mask[:, b]
        row = jax.tree.map(lambda leaf, b=b: leaf[b : b + 1], carry)
        if not valid.any():
            assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(row))
            continue
        alone = None if resets is None else resets_alone(valid, resets[:, b])[:, None]
        expected, end = LAYER.apply(PARAMS, INPUTS[valid, b : b + 1], resets=alone)
        # float32, programs of other shapes
        np.testing.assert_allclose(outputs[valid, b], expected[:, 0], atol=1e-5)
        for came, last in zip(jax.tree.leaves(row), jax.tree.leaves(end), strict=True):
            np.testing.assert_allclose(came, last, atol=1e-5)


def test_gradients_reach_valid_steps_only():
    layer = jaxrnn.recurrent(jaxrnn.gru(H))

    def loss(params, inputs, mask):
        return jnp.sin(run_sorted(layer, params, inputs, mask)[0]).sum()

    params, inputs = layer.init(jax.random.key(0), D), np.where(HOLES[..., None], INPUTS, np.nan)
    grads, d_inputs = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, inputs, HOLES)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert not d_inputs[~HOLES].any()
    assert d_inputs[HOLES].all()


def test_steps_come_back_to_where_they_were_with_zeros_between():
    steps = jaxrnn.sort_valid(HOLES)
    tree = {"ids": np.arange(T * B).reshape(T, B) + 1, "vectors": INPUTS}
    front = steps.gather(tree)
    for b in range(B):
        np.testing.assert_array_equal(
            front["ids"][: steps.lengths[b], b], tree["ids"][HOLES[:, b], b]
        )
    back = steps.put_back(front)
    np.testing.assert_array_equal(back["ids"], np.where(HOLES, tree["ids"], 0))
    np.testing.assert_array_equal(back["vectors"], np.where(HOLES[..., None], INPUTS, 0))


def test_a_mask_that_ends_each_sequence_changes_nothing():
    lengths = np.array([6, 0, 2, 5], np.int32)
    steps = jaxrnn.sort_valid(jaxrnn.valid_steps(lengths, T))
    np.testing.assert_array_equal(steps.order, np.tile(np.arange(T)[:, None], B))
    np.testing.assert_array_equal(steps.lengths, lengths)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_are_those_of_keras(mask):
    """Keras carries the state over steps that do not count."""
    os.environ["KERAS_BACKEND"] = "jax"
    keras = pytest.importorskip("keras")
    from jaxrnn.interop.keras import from_keras

    one = keras.layers.GRU(H, return_sequences=True, return_state=True)
    theirs = keras.layers.Bidirectional(one)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected, *ends = theirs(INPUTS.swapaxes(0, 1), mask=mask.T)
    outputs, carry = run_sorted(*from_keras(theirs), INPUTS, mask)
    # float32, 6 steps
    np.testing.assert_allclose(outputs[mask], np.swapaxes(expected, 0, 1)[mask], atol=1e-5)
    for came, end in zip((carry.forward.hidden, carry.backward.hidden), ends, strict=True):
        np.testing.assert_allclose(came, end, atol=1e-5)


STEPS = jaxrnn.sort_valid(HOLES)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "mask must be an array, got list", lambda: jaxrnn.sort_valid([[True]])),
        (ValueError, r"mask must be \[T, B\], got shape \(6,\)",
         lambda: jaxrnn.sort_valid(HOLES[:, 0])),
        (TypeError, "mask must be bool, got int64", lambda: jaxrnn.sort_valid(HOLES.astype(int))),
        (
            ValueError,
            r"over_time must begin with the axes \[T, B\] = \(6, 4\) of the mask, got shape \(4, 6",
            lambda: STEPS.gather(INPUTS.swapaxes(0, 1)),
        ),
        (TypeError, "over_time must be an array, got int", lambda: STEPS.put_back(3)),
        (ValueError, r"resets must have shape \(6, 4\)", lambda: STEPS.gather_resets(RESETS.T)),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit_are_named(error, message, call, as_users_run):
    with pytest.raises(error, match=message):
        call()
