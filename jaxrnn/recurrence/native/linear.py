"""Native code for the elementwise linear recurrence, the same for all linear cells."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.recurrence.native.build import SWITCH, BuildError, build, register
from jaxrnn.recurrence.native.source import HANDLERS, file_text

SOURCE, HEADERS = "linear.cc", ("interface.h", "phases.h")

_FLAGS = {
    "float32": (),
    "float64": ("-DJAXRNN_FLOAT64",),
    "complex64": ("-DJAXRNN_COMPLEX",),
    "complex128": ("-DJAXRNN_COMPLEX", "-DJAXRNN_FLOAT64"),
}


def find(adjoint: bool, implementation: str | None, avals: Any) -> Callable[..., Any] | None:
    """Return a function of the recurrence's operands, or None for the portable loop.

    Args:
        adjoint: whether it is the adjoint.
        implementation: as for `jaxrnn.unroll`.
        avals: the shapes and dtypes of (a, b, start) and perhaps resets.
    """
    a, b, *_ = avals
    sizes = b.shape
    if implementation not in (None, "native") or not all(isinstance(size, int) for size in sizes):
        return None
    if 0 in sizes or isinstance(prefix := code(b.dtype.name), BuildError):
        return None
    num_steps, size = sizes[0], sizes[-1]
    constant = a.shape == (1,) * (len(sizes) - 1) + (size,)

    def function(a: Any, b: Any, start: Any, *resets: Any) -> Any:
        absent = jnp.zeros(0, b.dtype)
        varying, one = (absent, a) if constant else (jnp.broadcast_to(a, sizes), absent)
        masks = [jnp.broadcast_to(mask, (*sizes[:-1], 1)) for mask in resets]
        return jax.ffi.ffi_call(
            f"{prefix}_{'backward' if adjoint else 'forward'}",
            [jax.ShapeDtypeStruct(sizes, b.dtype), jax.ShapeDtypeStruct(sizes[1:], b.dtype)],
        )(
            *(varying, one, b, start, *(masks or [absent])),
            T=np.int64(num_steps),
            B=np.int64(np.prod(sizes[1:-1], dtype=np.int64)),
            H=np.int64(size),
        )

    return function


def obstacle(dtype: str = "float32") -> str | None:
    """Return why there is no native code for a dtype, or None if there is."""
    found = code(dtype)
    return str(found) if isinstance(found, BuildError) else None


def code(dtype: str) -> str | BuildError:
    """Return the prefix of the names that XLA knows the functions by, or why there are none."""
    if os.environ.get(SWITCH) == "0":
        return BuildError(f"it is switched off by {SWITCH}=0")
    return _code(dtype)


@functools.cache
def _code(dtype: str) -> str | BuildError:
    if dtype not in _FLAGS:
        return BuildError(f"it does not compute in {dtype}")
    try:
        headers = {name: file_text(name) for name in HEADERS}
        library = build(file_text(SOURCE), file_text(HANDLERS), headers, _FLAGS[dtype])
    except BuildError as error:
        return error
    return register(*library)
