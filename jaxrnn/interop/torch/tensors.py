"""Arrays from and to PyTorch's tensors, exactly."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.interop.optional import import_optional
from jaxrnn.typing import HostArray

DTYPES = ("bfloat16", "float16", "float32", "float64")


def dtype_of(source: str, arrays: Iterable[Any]) -> str:
    """The name of the one floating type of some tensors or arrays, or raise."""
    names = sorted({str(array.dtype).removeprefix("torch.") for array in arrays})
    if len(names) != 1 or names[0] not in DTYPES:
        raise TypeError(
            f"{source} must be of one type, any of {', '.join(DTYPES)}, got {', '.join(names)}"
        )
    return names[0]


def to_host(array: Any) -> HostArray:
    """A copy in NumPy of a tensor on any device, or of an array: PyTorch trains its own in place.

    Other libraries have no bfloat16 in common with PyTorch, so tensors come by way of float64,
    which holds every value of the others.
    """
    dtype = jnp.dtype(str(array.dtype).removeprefix("torch."))
    if hasattr(array, "detach"):
        array = array.detach().cpu().double().numpy()
    return np.array(array, dtype)


def to_tensor(array: Any) -> Any:
    """A tensor of its own memory, of the array's type."""
    torch = import_optional("torch", "a tensor")
    by_way_of = np.array(array, np.float64, order="C")
    return torch.from_numpy(by_way_of).to(getattr(torch, str(array.dtype)))


def check_x64(source: str, dtype: str) -> None:
    """Raise where JAX would round float64 to float32 in silence."""
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise TypeError(
            f"{source} are float64, which JAX has only after"
            ' jax.config.update("jax_enable_x64", True): enable it, or convert them to float32'
        )
