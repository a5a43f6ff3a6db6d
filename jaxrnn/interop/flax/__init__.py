"""Flax: weights of its recurrent cells, and jaxrnn's layers as nnx modules.

`port` converts cells of `flax.nnx` and `flax.linen` to and from jaxrnn, `carry` their carries;
`modules` defines `RNN`, `GRU` and `LSTM` for models written with nnx; `counterparts` knows which
Flax cell has which equations and where it keeps its weights.
"""

from jaxrnn.interop.flax.carry import carry_from_flax, carry_to_flax
from jaxrnn.interop.flax.modules import GRU, LSTM, RNN
from jaxrnn.interop.flax.port import from_flax, to_linen, to_nnx

__all__ = [  # noqa: RUF022, sorted by topic
    # weights
    "from_flax",
    "to_nnx",
    "to_linen",
    # carries
    "carry_from_flax",
    "carry_to_flax",
    # nnx modules
    "RNN",
    "GRU",
    "LSTM",
]
