"""Exact conversions between arrays and PyTorch's tensors."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.interop.optional import import_optional
from jaxrnn.typing import HostArray


def to_host(array: Any) -> HostArray:
    """Copy a tensor on any device, or an array, to NumPy.

    It is a copy because PyTorch trains tensors in place.  Tensors are converted by way of float64,
    which holds every value of the other types, because NumPy and PyTorch share no bfloat16.
    """
    dtype = jnp.dtype(str(array.dtype).removeprefix("torch."))
    if hasattr(array, "detach"):
        array = array.detach().cpu().double().numpy()
    return np.array(array, dtype)


def to_tensor(array: Any) -> Any:
    """Copy an array to a tensor of the same type."""
    torch = import_optional("torch", "a tensor")
    as_float64 = np.array(array, np.float64, order="C")
    return torch.from_numpy(as_float64).to(getattr(torch, str(array.dtype)))
