"""Cells and layers are data: equal where their arguments are, hashable, picklable, readable."""

import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.layers.initializers import SymmetricUniform


def deep():
    layer = jaxrnn.recurrent(jaxrnn.lstm(4), forget_gate_bias=1.0, kernel_init="orthogonal")
    wide = jaxrnn.recurrent(jaxrnn.gru(4, reset_after=False), kernel_init=SymmetricUniform(0.1))
    return jaxrnn.stack(
        [
            jaxrnn.embedding(3, dropout=0.1),
            jaxrnn.bidirectional(layer, merge="mean"),
            jaxrnn.dropout(0.5, variational=True),
            jaxrnn.learned_initial_carry(wide),
            jaxrnn.recurrent(jaxrnn.gru(6), reverse=True),
            jaxrnn.recurrent(jaxrnn.rnn(6, jax.nn.relu), num_heads=3, dtype=jnp.bfloat16),
            jaxrnn.linear(3),
            jaxrnn.recurrent(jaxrnn.lstm(6), projection_size=2, recurrent_dropout=0.2),
            jaxrnn.linear(5),
        ]
    )


def configured():
    return jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell="gru", num_layers=2, hidden_size=4, dropout=0.1), 9
    )


MAKERS = [
    lambda: jaxrnn.rnn(3),
    lambda: jaxrnn.gru(3),
    lambda: jaxrnn.gru(3, reset_after=False),
    lambda: jaxrnn.lstm(3),
    deep,
    configured,
]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_made_of_equal_arguments_is_equal_and_survives_pickling(make):
    one, other = make(), make()
    assert one is not other
    assert one == other == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(other) == hash(pickle.loads(pickle.dumps(one)))


def test_whatever_differs_makes_layers_unequal():
    def layer(cell=jaxrnn.lstm(4), **options):
        return jaxrnn.recurrent(cell, **options)

    layers = [
        *(layer(), layer(jaxrnn.gru(4)), layer(jaxrnn.lstm(5)), layer(kernel_init="normal")),
        *(layer(bias_init="zeros"), layer(forget_gate_bias=1.0), layer(projection_size=2)),
        *(layer(num_heads=2), layer(recurrent_dropout=0.5), layer(dtype="bfloat16")),
        *(layer(implementation="autodiff"), layer(scan_unroll=2), layer(remat_every=3)),
        *(layer(reverse=True), jaxrnn.bidirectional(layer(), merge="sum")),
        jaxrnn.batch_first(layer()),
        *(jaxrnn.bidirectional(layer()), jaxrnn.stack([layer()]), jaxrnn.dropout(0.5)),
        *(jaxrnn.dropout(0.5, variational=True), jaxrnn.linear(4), jaxrnn.embedding(4)),
    ]
    assert len(set(layers)) == len(layers)


def test_a_function_of_ones_own_is_equal_to_itself_and_pickled_by_its_name():
    cell = jaxrnn.rnn(3, jnp.sin)
    assert cell == jaxrnn.rnn(3, jnp.sin)
    assert jaxrnn.rnn(3, lambda x: x) != jaxrnn.rnn(3, lambda x: x)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(jaxrnn.rnn(3, lambda x: x))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(256)), jaxrnn.linear(28)]),
            "Stack(Recurrent(lstm(256)), Linear(28))",
        ),
        (
            jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(4), num_heads=2, dtype="bfloat16")),
            "Bidirectional(Recurrent(gru(4), dtype=bfloat16, num_heads=2))",
        ),
        (jaxrnn.dropout(0.5, variational=True), "Dropout(0.5, variational=True)"),
        (jaxrnn.recurrent(jaxrnn.rnn(4), kernel_init="normal"),
         "Recurrent(rnn(4), kernel_init='normal')"),
        (
            jaxrnn.language_model(9, jaxrnn.recurrent(jaxrnn.rnn(4)), embedding_size=4),
            "LanguageModel(Recurrent(rnn(4)), embedding=Embedding(4, table_init='uniform'),"
            " output=Linear(9))",
        ),
    ],
)  # fmt: skip
def test_a_layer_is_shown_in_one_line(layer, text):
    assert repr(layer) == text


def test_a_summary_counts_every_parameter():
    layer = deep()
    params = layer.init(jax.random.key(0), 11)
    lines = layer.summary(params).splitlines()
    total = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    assert lines[0].split() == ["Stack", f"{total:,}", "parameters"]
    counts = [re.match(r"  \S.*?  +([\d,]+)(  |$)", line) for line in lines]
    counts = [int(found[1].replace(",", "")) for found in counts if found]
    assert len(counts) == len(layer.layers)
    assert sum(counts) == total


def test_building_a_model_twice_compiles_once():
    compiled = []

    def count(event, *_, **__):
        compiled.append(event)

    params = configured().init(jax.random.key(0), 9)
    ids = np.arange(8, dtype=np.int32)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        for _ in range(2):
            del compiled[:]
            jaxrnn.score(configured(), params, ids)
            jaxrnn.generate_ids(configured(), params, ids[:, None], 3)
            jaxrnn.recurrent(jaxrnn.lstm(3)).apply(
                jaxrnn.recurrent(jaxrnn.lstm(3)).init(jax.random.key(0), 2), np.ones((4, 1, 2), "f")
            )
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert not [event for event in compiled if "backend_compile" in event]


@pytest.mark.parametrize("layer", [deep(), configured(), jaxrnn.linear(2)])
def test_without_a_carry_a_run_starts_from_the_initial_one(layer):
    ids = np.arange(12, dtype=np.int32).reshape(6, 2) % 9
    inputs = ids if layer != jaxrnn.linear(2) else jnp.ones((6, 2, 9))
    params = layer.init(jax.random.key(0), 9)
    given = layer.apply(params, inputs, layer.initial_carry(params, 2))
    for a, b in zip(*map(jax.tree.leaves, (layer.apply(params, inputs), given)), strict=True):
        np.testing.assert_array_equal(a, b)
