"""The regularizers of a model's configuration: where they stand, and that evaluation has none.

What each of them does is in `tests/layers` and `tests/test_every_cell.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.recurrence.boundaries import Context

V, T, B = 11, 6, 2
NOISE = {"recurrent_dropout": 0.1, "weight_drop": 0.2, "zoneout": 0.3}
IDS = np.random.default_rng(0).integers(0, V, (T, B)).astype(np.int32)


def make(**options):
    sizes = {"cell": "lstm", "hidden_size": 6, "embedding_size": 4, "init": "uniform"}
    return jaxrnn.build_language_model(jaxrnn.ModelConfig(**sizes | options), V)


def test_every_regularizer_stands_where_the_published_models_have_it():
    """As in AWD-LSTM: the last layer is as wide as the embedding that is also the output layer."""
    model = make(
        num_layers=3, dropout=0.3, input_dropout=0.4, output_dropout=0.5, variational_dropout=True,
        embedding_dropout=0.6, tie_embeddings=True, **NOISE,
    )  # fmt: skip

    def drop(rate):
        return jaxrnn.dropout(rate, variational=True)

    def layer(size):
        options = {"kernel_init": "uniform", "bias_init": "uniform"} | NOISE
        return jaxrnn.recurrent(jaxrnn.lstm(size), **options)

    body = jaxrnn.stack([drop(0.4), layer(6), drop(0.3), layer(6), drop(0.3), layer(4)])
    assert model == jaxrnn.language_model(
        V, body, embedding_size=4, embedding_dropout=0.6, output_dropout=drop(0.5),
        tie_embeddings=True,
    )  # fmt: skip
    params = model.init(jax.random.key(0), V)
    widths = [layer.w_ih.shape[0] for layer in params.body if layer != ()]
    assert widths == [4, 6, 6]
    assert [leaf.shape for leaf in (params.embedding, params.output)] == [(V, 4), (V,)]


@pytest.mark.parametrize(
    ("options", "before", "between", "after"),
    [
        ({"dropout": 0.3}, 0.3, 0.3, 0.3),
        ({"dropout": 0.3, "embedding_size": None}, 0, 0.3, 0.3),  # ids have no units to drop
        ({"dropout": 0.3, "input_dropout": 0.0}, 0, 0.3, 0.3),
        ({"dropout": 0.3, "output_dropout": 0.0}, 0.3, 0.3, 0),
        ({"input_dropout": 0.4}, 0.4, 0, 0),
        ({"output_dropout": 0.5}, 0, 0, 0.5),
        ({}, 0, 0, 0),
    ],
)
def test_dropout_before_and_after_the_layers_is_that_between_them_unless_set(
    options, before, between, after
):
    model = make(num_layers=2, **options)
    layers = [layer.rate for layer in model.body.layers if isinstance(layer, jaxrnn.layers.Dropout)]
    assert layers == [rate for rate in (before, between) if rate]
    assert model.output_dropout == (jaxrnn.dropout(after) if after else None)


def test_regularizers_need_a_key_and_change_no_evaluation():
    """But for zoneout, which then takes the mean of its two values."""
    plain = make(num_layers=2)
    params = plain.init(jax.random.key(0), V)
    carry = plain.initial_carry(params, B)
    expected, _ = plain.apply(params, IDS, carry)
    rates = {"dropout": 0.5, "input_dropout": 0.5, "output_dropout": 0.5, "embedding_dropout": 0.5}
    changed = []
    for name, rate in (rates | NOISE).items():
        model = make(num_layers=2, **{name: rate})
        form = jax.tree.structure(model.init(jax.random.key(0), V))
        own = jax.tree.unflatten(form, jax.tree.leaves(params))
        carry = model.initial_carry(own, B)
        logits, _ = model.apply(own, IDS, carry)
        assert np.array_equal(logits, expected) == (name != "zoneout")
        noisy, _ = model.apply(own, IDS, carry, key=jax.random.key(1))
        changed.append(np.asarray(noisy))
        assert not np.allclose(noisy, logits)
    assert len({array.tobytes() for array in changed}) == len(changed)


@pytest.mark.parametrize("variational", [False, True])
def test_what_the_output_layer_reads_is_the_body_after_dropout(variational):
    model = make(hidden_size=50, output_dropout=0.5, variational_dropout=variational)
    params = model.init(jax.random.key(0), V)
    carry = model.initial_carry(params, B)
    (outputs, dropped), _ = model.run_body(params, IDS, carry, Context(key=jax.random.key(1)))
    kept = np.asarray(dropped / outputs)
    assert set(np.unique(kept.round(4))) == {0.0, 2.0}
    assert 0.4 < (kept > 1).mean() < 0.6
    same = (kept == kept[:1]).all(axis=(0, 2))
    assert same.tolist() == [variational] * B
    logits, _ = model.apply(params, IDS, carry, key=jax.random.key(1))
    expected = dropped @ params.output.kernel + params.output.bias[None, None]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    (outputs, dropped), _ = model.run_body(params, IDS, carry, Context())
    np.testing.assert_array_equal(outputs, dropped)


def test_one_dropout_after_all_layers_keeps_no_less_than_it_should():
    """The body has keys of its own: where they drop, the output layer's dropout does not."""
    model = jaxrnn.language_model(
        V, jaxrnn.stack([jaxrnn.dropout(0.5)]), embedding_size=400,
        output_dropout=jaxrnn.dropout(0.5),
    )  # fmt: skip
    params = model.init(jax.random.key(0), V)._replace(embedding=jnp.ones((V, 400)))
    (outputs, dropped), _ = model.run_body(params, IDS, ((),), Context(key=jax.random.key(1)))
    assert set(np.unique(dropped)) == {0.0, 4.0}
    # A quarter of 4800 units, which has a standard deviation of 0.006.
    assert abs((np.asarray(dropped) > 0).mean() - 0.25) < 0.04
    assert abs((np.asarray(outputs) > 0).mean() - 0.5) < 0.04


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("weight_drop needs a cell with recurrent weights, got sru", {"weight_drop": 0.1}),
        ("recurrent_dropout need a Cell", {"recurrent_dropout": 0.1}),
    ],
)
def test_noise_that_a_cell_has_no_place_for_is_named(message, options, as_users_run):
    with pytest.raises(ValueError, match=message):
        jaxrnn.ModelConfig(cell="sru", **options)
    assert jaxrnn.ModelConfig(cell="sru", zoneout=0.1)
