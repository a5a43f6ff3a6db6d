"""Optional packages, imported only when a function needs one."""

import importlib
from typing import Any

KERAS_BACKENDS = ("tensorflow", "torch", "openvino")
"""Keras's backends besides JAX and NumPy, which are always installed."""


def import_optional(package: str, purpose: str) -> Any:
    """Import a package, or raise an error that says how to install it.

    Args:
        package: the package's name, for Python and for pip.
        purpose: what needs it; the error message starts with it.

    Raises:
        ModuleNotFoundError: it is not installed, or the backend chosen for Keras is not.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing == package:
            text = f"{purpose} needs {package}, which is not installed: pip install {package}"
            raise ModuleNotFoundError(text, name=package) from error
        if package == "keras" and missing in KERAS_BACKENDS:
            raise ModuleNotFoundError(
                f"{purpose} needs keras, whose backend {missing} is not installed: set the"
                " environment variable KERAS_BACKEND=jax before Python starts, or pip install"
                f" {missing}",
                name=missing,
            ) from error
        raise
