"""Which implementations there are for a cell, and why not the others."""

import jax

from jaxrnn.cells import BaseCell, LinearCell, StepCell
from jaxrnn.cells.lstm import lstm_update
from jaxrnn.recurrence.native.choice import code_digest, obstacle


def implementations(cell: BaseCell) -> dict[str, str]:
    """Return what `implementation=` of `unroll` can be for a cell.

    Asking for "native" compiles its code, which takes some seconds the first time.

    Returns:
        For each name "available", or the reason why it is not.

    Raises:
        TypeError: `cell` is not a cell.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.implementations(jaxrnn.lstm(8))["scan"]
        'available'
    """
    if not isinstance(cell, BaseCell):
        raise TypeError(f"cell must be a Cell, such as jaxrnn.lstm(256), got {cell!r}")
    available = "available"
    cudnn = available
    if getattr(cell, "update", None) is not lstm_update:
        cudnn = "it has no kernel for this cell, only for jaxrnn.lstm"
    elif jax.default_backend() != "gpu":
        cudnn = "it needs a GPU with cuDNN"
    return {
        "native": obstacle(cell) or available,
        "scan": "only JAX can differentiate a StepCell"
        if isinstance(cell, StepCell)
        else available,
        "autodiff": available,
        "cudnn": cudnn,
        "associative_scan": available
        if isinstance(cell, LinearCell)
        else "the cell is not linear in its state",
    }


def default_implementation(cell: BaseCell) -> str:
    """Return what runs a cell by default on one device, with the digest of native code."""
    if isinstance(cell, StepCell):
        return "autodiff"
    on_cpu = jax.default_backend() == "cpu"
    if isinstance(cell, LinearCell) and not on_cpu:
        return "associative_scan"
    digest = code_digest(cell) if on_cpu else None
    return "scan" if digest is None else f"native {digest}"
