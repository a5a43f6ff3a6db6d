"""PyTorch's nn.RNN, nn.GRU and nn.LSTM: modules, state dicts and safetensors files."""

from jaxrnn.interop.torch.carry import carry_from_torch as carry_from_torch
from jaxrnn.interop.torch.carry import carry_to_torch as carry_to_torch
from jaxrnn.interop.torch.port import from_torch as from_torch
from jaxrnn.interop.torch.port import to_torch as to_torch
