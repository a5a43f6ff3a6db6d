"""The site: every public name has a page, and what pages name exists.

`mkdocs build`, which is strict, checks all links and anchors; `.ci/run` calls it.
"""

import importlib
import re
from collections import Counter
from pathlib import Path

import jax
import pytest
from test_docs import DOCS, blocks_of

import jaxrnn

PAGES = sorted(DOCS.rglob("*.md"))
ROOMS = (
    "", ".cells", ".fitting", ".generation", ".interop.equinox", ".interop.export",
    ".interop.flax", ".interop.haiku", ".interop.keras", ".interop.torch", ".layers", ".losses",
    ".probes", ".recurrence", ".runs", ".scoring", ".sequences", ".text", ".training",
)  # fmt: skip
ELSEWHERE = {"jaxrnn.losses", "jaxrnn.probes"}
"""Rooms, which are public by the names in them."""


def documented():
    """The names after `:::` in the reference."""
    pages = [page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md")]
    return [name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.M)]


def resolve(name):
    """The object of a dotted name; where a module has a name that a function has, the function."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), last)
    except (AttributeError, ModuleNotFoundError):
        pass
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return getattr(resolve(module), last)


def public_objects(room):
    module = importlib.import_module(f"jaxrnn{room}")
    names = getattr(module, "__all__", [])
    return {f"jaxrnn{room}.{name}": getattr(module, name) for name in names}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_place_in_the_reference(room):
    if room == ".interop.torch":
        pytest.importorskip("torch")
    if room == ".interop.keras":
        pytest.importorskip("keras")
    there = [resolve(name) for name in documented() if importable(name)]
    missing = [
        name
        for name, thing in public_objects(room).items()
        if name not in ELSEWHERE and not any(thing is other for other in there)
    ]
    assert missing == []


def importable(name):
    try:
        resolve(name)
    except ImportError:
        return False
    return True


def test_no_name_is_documented_twice():
    assert [name for name, count in Counter(documented()).items() if count > 1] == []


@pytest.mark.parametrize("page", ["index", "cells", "engine", "faq", "glossary", "migration"])
def test_what_a_page_names_exists(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for name in set(re.findall(r"\bjaxrnn(?:\.\w+)+", text)):
        assert resolve(name) is not None


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")[1]
    listed = re.findall(r": (\S+\.md)$", navigation, re.M)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES)
    for_machines = (DOCS / "llms.txt").read_text("utf-8")
    there = re.findall(r"\(https://jaxrnn.github.io/jaxrnn/(\S+)/\)", for_machines)
    assert [f"{page}.md" for page in there] == [page for page in listed if page != "index.md"]


SHELL_NOT_RUN = {
    "index.md": "installs a release, of which there is none yet",
    "gpu.md": "installs CUDA",
    "compiled.md": "installs compilers for TPUs and GPUs",
    "scaling.md": "needs a cluster, or a corpus larger than memory; its other two are run",
    "generation.md": "continues a run of the reader's; the same flags are tested elsewhere",
    "reliability.md": "takes an hour",
    "studio.md": "serves a run of the reader's; `.ci/wheel` and tests/studio do, too",
}
"""Pages with shell commands that no test runs, and why."""


def test_all_code_of_the_pages_is_run_but_for_the_exceptions():
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    for page in PAGES:
        text, name = page.read_text("utf-8"), str(page.relative_to(DOCS))
        if "```python\n" in text and page.parent.name != "tutorials":  # all of which are run
            assert re.search(rf'(run_page|blocks_of)\("{name}"\)', tests), name
        if "```sh\n" in text and name not in SHELL_NOT_RUN:
            assert f'"{name}").read_text' in tests, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_are_described(page):
    for description, path in re.findall(r"!\[(.*?)\]\((.*?)\)", page.read_text("utf-8"), re.S):
        assert len(description) > 20, path
        assert (page.parent / path).is_file()


def test_the_home_page_runs(as_users_run, capsys):
    session = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in blocks_of("index.md"):
            exec(block.replace("key=jax.random", "epochs=1, key=jax.random"), session)
    assert len(session["predicted"]) == 100
    assert "of the held-out walks" in capsys.readouterr().out


def test_a_layer_within_an_equinox_model(as_users_run):
    eqx = pytest.importorskip("equinox")
    session = {}
    for block in blocks_of("migration.md"):
        exec(block, session)
    assert session["logits"].shape == (3, 4)
    model = session["Reader"](jax.random.key(0))
    grads = eqx.filter_grad(lambda model: model(jax.numpy.ones((5, 3, 8))).sum())(model)
    assert isinstance(grads.params, jaxrnn.RecurrentParams)
    assert jax.numpy.any(grads.params.w_ih)
