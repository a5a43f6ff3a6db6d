"""The README's words, as they stand."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxrnn

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_in_the_readme_runs():
    """Block after block in one session, as a reader would type them."""
    session = {}
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        for block in re.findall(r"```python\n(.*?)```", README, re.S):
            exec(block, session)
    assert session["outputs"].shape == (20, 4, 64)
    deep = session["deep"]  # of the reader's own cell
    params = deep.init(jax.random.key(0), 3)
    inputs, carry = jnp.ones((5, 2, 3)), deep.initial_carry(params, 2)
    reference = [
        jaxrnn.unroll(
            layer.parts[0], own, inputs, start, lengths=jnp.array([5, 2]), implementation=how
        )[0].sum()
        for layer, own, start in list(zip(deep.parts, params, carry, strict=True))[:1]
        for how in ("scan", "autodiff")
    ]
    assert jnp.isclose(*reference)


def test_the_readme_has_the_two_commands_that_ci_and_new_users_need():
    commands = re.findall(r"^python3 -m venv .venv && .*$", README, re.M)
    assert [command.split(" -m ")[-1] for command in commands] == ["experiments.jaychou", "pytest"]
