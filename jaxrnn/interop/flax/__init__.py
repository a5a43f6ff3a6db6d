"""Flax: the weights of its recurrent cells, nnx and linen; our layers as modules of nnx."""

from jaxrnn.interop.flax.modules import GRU as GRU
from jaxrnn.interop.flax.modules import LSTM as LSTM
from jaxrnn.interop.flax.modules import RNN as RNN
from jaxrnn.interop.flax.port import carry_from_flax as carry_from_flax
from jaxrnn.interop.flax.port import carry_to_flax as carry_to_flax
from jaxrnn.interop.flax.port import from_flax as from_flax
from jaxrnn.interop.flax.port import to_linen as to_linen
from jaxrnn.interop.flax.port import to_nnx as to_nnx
