"""Layers of other libraries as functions of our arrays, in the versions that the pages speak of."""

from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import lenient
from flax import nnx

EXAMINED = {
    "flax": "0.12.8",
    "dm-haiku": "0.0.17",
    "equinox": "0.13.8",
    "keras": "3.15.1",
    "torch": "2.13.0",
}
T, B, D, H = 5, 3, 2, 4


def as_examined(package, module):
    """The module, or skip where it is not of the version that was examined."""
    try:
        installed = version(package).split("+")[0]
    except PackageNotFoundError:
        installed = "none"
    if installed != EXAMINED[package]:
        pytest.skip(f"the page speaks of {package} {EXAMINED[package]}, installed is {installed}")
    return pytest.importorskip(module)


def swapped(over_time):
    return np.swapaxes(over_time, 0, 1)


def torch_lstm(inputs):
    torch = as_examined("torch", "torch")
    return torch.nn.LSTM(D, H)(torch.tensor(inputs))[0].detach()


def flax_lstm(inputs):
    as_examined("flax", "flax")
    cell = nnx.OptimizedLSTMCell(D, H, rngs=nnx.Rngs(0))
    with lenient():
        return swapped(nnx.RNN(cell)(swapped(inputs)))


def keras_lstm(inputs):
    layers = as_examined("keras", "keras").layers
    with lenient():
        return swapped(layers.LSTM(H, return_sequences=True)(swapped(inputs)))


def haiku_lstm(inputs):
    run = haiku_unroll(lambda hk: hk.LSTM(H))
    with lenient():
        params = run.init(jax.random.key(0), jnp.zeros((1, 1, D)))
        return run.apply(params, jnp.asarray(inputs))[0]


def haiku_unroll(make_core, **options):
    """`init` and `apply` of a core over time, of what the core reads at each step."""
    hk = as_examined("dm-haiku", "haiku")

    def run(over_time):
        core = make_core(hk)
        batch_size = jax.tree.leaves(over_time)[0].shape[1]
        return hk.dynamic_unroll(core, over_time, core.initial_state(batch_size), **options)

    return hk.without_apply_rng(hk.transform(run))


LSTMS = {"torch": torch_lstm, "flax": flax_lstm, "keras": keras_lstm, "haiku": haiku_lstm}
"""From inputs `[T, B, D]` to outputs `[T, B, H]`."""
