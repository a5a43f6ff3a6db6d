"""The language model of a workload in each JAX library, as its users write it.

Each function returns (params, logits_of).  `logits_of` maps the parameters and token ids `[T, B]`
to the logits `[T, B, V]`.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxrnn
from benchmarks.peers.own_cells import OWN_CELLS, flax_cell, haiku_core, our_cell
from benchmarks.workloads import Workload, batch_of
from jaxrnn.cells import BaseCell
from jaxrnn.model_config import CELLS

Model = tuple[Any, Callable[[Any, Any], Any]]


def ours(workload: Workload, implementation: str | None = None) -> Model:
    """Make our model."""
    model = language_model(workload, implementation)
    params = model.init(jax.random.key(0), workload.vocab_size)

    def logits_of(params: Any, ids: Any) -> Any:
        return model.apply(params, ids, model.initial_carry(params, ids.shape[1]))[0]

    return params, logits_of


def language_model(workload: Workload, implementation: str | None = None) -> jaxrnn.Layer:
    """Make our language model, by default with the default implementation."""
    layer = jaxrnn.recurrent(cell_of(workload), implementation=implementation)
    body = jaxrnn.stack([layer] * workload.num_layers)
    return jaxrnn.language_model(workload.vocab_size, body, embedding_size=workload.embedding_size)


def cell_of(workload: Workload) -> BaseCell:
    """Make our cell."""
    cells = {**CELLS, **{name: our_cell(own) for name, own in OWN_CELLS.items()}}
    return cells[workload.cell](workload.hidden_size)


def flax_nnx(workload: Workload) -> Model:
    """Make the model in Flax nnx, with `nnx.RNN` over its cells."""
    from flax import nnx

    cells: dict[str, Any] = {
        "rnn": nnx.SimpleCell,
        "gru": nnx.GRUCell,
        "lstm": nnx.OptimizedLSTMCell,
        **{name: flax_cell(own) for name, own in OWN_CELLS.items()},
    }

    class LanguageModel(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            if workload.embedding_size:
                self.embed = nnx.Embed(workload.vocab_size, workload.embedding_size, rngs=rngs)
            cell = cells[workload.cell]
            self.layers = nnx.List(
                nnx.RNN(cell(size, workload.hidden_size, rngs=rngs), time_major=True, rngs=rngs)
                for size in workload.input_sizes
            )
            self.output = nnx.Linear(workload.hidden_size, workload.vocab_size, rngs=rngs)

        def __call__(self, ids: Any) -> Any:
            x = self.embed(ids) if workload.embedding_size else one_hot(workload, ids)
            for layer in self.layers:
                x = layer(x, rngs=nnx.Rngs(0))  # needed to make the carry, though it is zeros
            return self.output(x)

    graph, params, rest = nnx.split(LanguageModel(nnx.Rngs(0)), nnx.Param, ...)  # type: ignore[misc]
    return params, lambda params, ids: nnx.merge(graph, params, rest)(ids)


def haiku(workload: Workload) -> Model:
    """Make the model in Haiku, with `hk.dynamic_unroll` over its cores."""
    import haiku as hk

    cores = {
        "rnn": hk.VanillaRNN,
        "gru": hk.GRU,
        "lstm": hk.LSTM,
        **{name: haiku_core(own) for name, own in OWN_CELLS.items()},
    }

    def model(ids: Any) -> Any:
        if workload.embedding_size:
            x = hk.Embed(workload.vocab_size, workload.embedding_size)(ids)
        else:
            x = one_hot(workload, ids)
        for _ in range(workload.num_layers):
            core = cores[workload.cell](workload.hidden_size)
            x, _ = hk.dynamic_unroll(core, x, core.initial_state(ids.shape[1]))
        return hk.Linear(workload.vocab_size)(x)

    transformed: Any = hk.without_apply_rng(hk.transform(model))
    params = transformed.init(jax.random.key(0), jnp.asarray(batch_of(workload)[0]))
    return params, transformed.apply


def equinox(workload: Workload) -> Model:
    """Make the model in Equinox, with single-row cells scanned over time and mapped over rows."""
    import equinox as eqx

    if workload.cell == "rnn":
        raise NotImplementedError("Equinox has no simple recurrent cell")
    cell_type = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}[workload.cell]
    keys = iter(jax.random.split(jax.random.key(0), workload.num_layers + 2))
    embed = (
        eqx.nn.Embedding(workload.vocab_size, workload.embedding_size, key=next(keys))
        if workload.embedding_size
        else None
    )
    cells = [cell_type(size, workload.hidden_size, key=next(keys)) for size in workload.input_sizes]
    output = eqx.nn.Linear(workload.hidden_size, workload.vocab_size, key=next(keys))

    def run(cell: Any, xs: Any) -> Any:
        zeros = jnp.zeros(workload.hidden_size)
        start = (zeros, zeros) if workload.cell == "lstm" else zeros

        def step(carry: Any, x: Any) -> Any:
            carry = cell(x, carry)
            return carry, carry[0] if workload.cell == "lstm" else carry

        return jax.lax.scan(step, start, xs)[1]

    def of_row(model: Any, ids: Any) -> Any:
        embed, cells, output = model
        x = one_hot(workload, ids) if embed is None else jax.vmap(embed)(ids)
        for cell in cells:
            x = run(cell, x)
        return jax.vmap(output)(x)

    params, static = eqx.partition((embed, cells, output), eqx.is_array)

    def logits_of(params: Any, ids: Any) -> Any:
        return jax.vmap(of_row, in_axes=(None, 1), out_axes=1)(eqx.combine(params, static), ids)

    return params, logits_of


def keras(workload: Workload) -> Model:
    """Make the model in Keras on JAX, with batch-first layers and `stateless_call`."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise ImportError("Keras runs on another backend: set KERAS_BACKEND=jax")
    layers = keras.layers
    recurrent = {"rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}[workload.cell]
    model = keras.Sequential()
    if workload.embedding_size:
        model.add(layers.Embedding(workload.vocab_size, workload.embedding_size))
    for _ in range(workload.num_layers):
        model.add(recurrent(workload.hidden_size, return_sequences=True))
    model.add(layers.Dense(workload.vocab_size))
    ids = jnp.asarray(batch_of(workload)[0]).T
    model.build(ids.shape if workload.embedding_size else (*ids.shape, workload.vocab_size))
    params = [variable.value for variable in model.trainable_variables]
    rest = [variable.value for variable in model.non_trainable_variables]

    def logits_of(params: Any, ids: Any) -> Any:
        x = ids.T if workload.embedding_size else one_hot(workload, ids.T)
        logits, _ = model.stateless_call(params, rest, x)
        return logits.swapaxes(0, 1)

    return params, logits_of


def one_hot(workload: Workload, ids: Any) -> Any:
    """Return one-hot rows, for libraries that cannot gather instead."""
    return jax.nn.one_hot(ids, workload.vocab_size)
