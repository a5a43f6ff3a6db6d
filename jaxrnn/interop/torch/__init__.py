"""PyTorch's nn.RNN, nn.GRU and nn.LSTM: modules, state dicts and `.safetensors` files.

`port` converts modules and weights, `carry` their hidden states.  `source` reads weights and infers
the module from them, `architecture` describes a module and matches it with our layers, and
`tensors` converts single arrays.
"""

from jaxrnn.interop.torch.carry import carry_from_torch, carry_to_torch
from jaxrnn.interop.torch.port import from_torch, to_torch

__all__ = [  # noqa: RUF022, sorted by topic
    # weights
    "from_torch",
    "to_torch",
    # hidden states
    "carry_from_torch",
    "carry_to_torch",
]
