"""Exact conversions between arrays and PyTorch's tensors."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.interop.optional import import_optional
from jaxrnn.typing import HostArray

DTYPES = ("bfloat16", "float16", "float32", "float64")


def dtype_of(source: str, arrays: Iterable[Any]) -> str:
    """Return the name of the floating type that all tensors or arrays have, or raise."""
    names = sorted({str(array.dtype).removeprefix("torch.") for array in arrays})
    if len(names) != 1 or names[0] not in DTYPES:
        raise TypeError(
            f"{source} must share one type out of {', '.join(DTYPES)}, got {', '.join(names)}"
        )
    return names[0]


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


def check_x64(source: str, dtype: str) -> None:
    """Raise if JAX would silently round float64 to float32."""
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise TypeError(
            f"{source} are float64, which JAX supports only after"
            ' jax.config.update("jax_enable_x64", True): enable it, or convert them to float32'
        )
