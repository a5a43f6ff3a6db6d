"""The examples in docstrings run and print what they show."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import jaxrnn
from jaxrnn.interop import equinox, flax, haiku, keras, torch

MODULES = [module.name for module in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn.")]
ROOMS = [
    "cells", "recurrence", "sequences", "layers", "text", "generation", "training", "runs",
    "probes",
]  # fmt: skip
PUBLIC = [jaxrnn, equinox, flax, haiku, keras, torch]
PUBLIC += [importlib.import_module(f"jaxrnn.{r}") for r in ROOMS]
NEEDS = {f"jaxrnn.interop.{package}": package for package in ("torch", "keras", "equinox")}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_run(name, monkeypatch, as_users_run):
    for package, needed in NEEDS.items():
        if name.startswith(package):
            pytest.importorskip(needed)
    if name == "jaxrnn.cells.linear_cell":  # it would compile native code for its own cell
        monkeypatch.setenv("JAXRNN_NATIVE", "0")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("room", PUBLIC, ids=lambda room: room.__name__)
def test_every_public_function_shows_an_example(room):
    functions = [value for name in room.__all__ if inspect.isfunction(value := getattr(room, name))]
    assert [function.__name__ for function in functions if ">>>" not in function.__doc__] == []
