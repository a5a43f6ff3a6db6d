"""The examples in docstrings run and print what they show."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("cells", "recurrence", "layers")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.iter_modules(
        importlib.import_module(f"jaxrnn.{package}").__path__, f"jaxrnn.{package}."
    )
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, as_users_run):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0
