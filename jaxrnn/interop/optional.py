"""Packages that `import jaxrnn` does without, imported when a function needs one."""

import importlib
from typing import Any

KERAS_BACKENDS = ("tensorflow", "torch", "openvino")
"""What Keras runs on besides JAX and NumPy, which are always there."""


def import_optional(package: str, purpose: str) -> Any:
    """Import a package, or raise an error that says how to install it.

    Args:
        package: its name, which is also the one that pip knows it by.
        purpose: what needs it, the subject of the error's sentence.

    Raises:
        ModuleNotFoundError: it is not installed, or the backend that Keras was told to use is not.
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
