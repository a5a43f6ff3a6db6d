"""Errors where a package is missing that only some functions need."""

import re
import sys

import jax
import pytest

import jaxrnn
from jaxrnn.interop.equinox import from_equinox, to_equinox
from jaxrnn.interop.export import export_step
from jaxrnn.interop.keras import from_keras, to_keras
from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.torch import carry_to_torch, from_torch, to_torch

LAYER = jaxrnn.recurrent(jaxrnn.gru(2))
CALLS = {
    "from_torch of a module": (
        "torch",
        "a source that is neither a mapping nor a path",
        lambda params: from_torch(object()),
    ),
    "to_torch": ("torch", "a tensor", lambda params: to_torch(LAYER, params)),
    "carry_to_torch": (
        "torch",
        "a tensor",
        lambda params: carry_to_torch(LAYER, params, LAYER.initial_carry(params, 1)),
    ),
    "from_torch of a file": (
        "safetensors",
        "a .safetensors file",
        lambda params: from_torch("model.safetensors"),
    ),
    "from_keras": ("keras", "from_keras", lambda params: from_keras(object())),
    "to_keras": ("keras", "to_keras", lambda params: to_keras(LAYER, params)),
    "from_equinox": ("equinox", "from_equinox", lambda params: from_equinox(object())),
    "to_equinox": ("equinox", "to_equinox", lambda params: to_equinox(LAYER, params)),
    "export_step": ("flatbuffers", "jax.export", lambda params: export_step(LAYER, params, 3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, monkeypatch):
    package, purpose, call = CALLS[name]
    params = LAYER.init(jax.random.key(0), 3)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    text = f"{purpose} needs {package}, which is not installed: pip install {package}"
    with pytest.raises(ModuleNotFoundError, match=f"^{re.escape(text)}$") as caught:
        call(params)
    assert caught.value.name == package


def test_a_package_that_is_broken_says_so_itself(monkeypatch, tmp_path):
    (tmp_path / "keras.py").write_text("import a_package_that_keras_needs\n")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'a_package_that_keras_needs'"):
        import_optional("keras", "to_keras")
