"""The structure of the package: who may import whom, and what importing it costs."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxrnn"

# Each room imports only from rooms above its own.
ROOMS = [
    "typing", "batch", "checks", "primitives", "matmul", "text", "cells", "recurrence", "sequences",
    "layers", "losses", "models", "language_model", "model_config", "fine_tuning", "generation",
    "scoring", "interop", "training", "fitting", "runs", "probes", "studio", "commands",
    "__main__",
]  # fmt: skip
ALLOWED_OUTSIDE = {"jax", "flax", "optax", "numpy", "jaxtyping"}


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path, *, top_level_only=False):
    tree = parsed(path)
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    place = ROOMS.index(room_of(path))
    for name in imports_of(path):
        if name == "jaxrnn":  # a command is a user's program
            assert room_of(path) in ("commands", "__main__"), (
                "import from the module that defines it"
            )
        elif name.startswith("jaxrnn."):
            assert ROOMS.index(name.split(".")[1]) <= place, f"{room_of(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_other_packages_are_imported_where_they_are_used(path):
    if path.name == "download.py" or room_of(path) in ("commands", "studio"):
        return  # themselves imported so
    outside = {name.split(".")[0] for name in imports_of(path, top_level_only=True)}
    assert outside <= ALLOWED_OUTSIDE | {"jaxrnn"} | sys.stdlib_module_names


def test_files_are_of_a_readable_length():
    for folder in ("jaxrnn", "experiments", "benchmarks"):
        for path in (PACKAGE.parent / folder).rglob("*.py"):
            num_lines = len(path.read_text(encoding="utf-8").splitlines())
            assert num_lines <= 255, f"{path} has {num_lines} lines"


def test_importing_compiles_nothing_and_loads_neither_orbax_nor_extras():
    program = """
import sys, jax
jax.config.update("jax_log_compiles", True)
import logging
seen = []
handler = logging.Handler()
handler.emit = lambda record: seen.append(record.getMessage())
logging.getLogger("jax").addHandler(handler)
import jaxrnn, jaxrnn.__main__
import jaxrnn.interop.equinox, jaxrnn.interop.export, jaxrnn.interop.haiku
import jaxrnn.interop.keras, jaxrnn.interop.torch
extras = {"orbax", "tyro", "tqdm", "pooch", "requests", "matplotlib", "tensorboardX", "torch"}
extras |= {"keras", "safetensors", "haiku", "equinox", "starlette", "uvicorn"}
print(sorted(extras & {name.split(".")[0] for name in sys.modules}))
print([message for message in seen if "ompil" in message])
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.split("\n")[:2] == ["[]", "[]"]
