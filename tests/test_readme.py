"""The README's words, as they stand."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_in_the_readme_runs(capsys, as_users_run):
    """Block after block in one session, as a reader would type them."""
    session = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(block.replace("text[:4000]", "text[:1600]"), session)  # half the time
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()[:4]] == [
        f"epoch {epoch}" for epoch in (5, 10, 15, 20)
    ]
    whole = {*jaxrnn.load_corpus("songs").text.splitlines()}
    assert whole.intersection(said.splitlines()[5:]), "what it recites is of the songs"
    assert session["outputs"].shape == (20, 4, 64)
    assert session["progress"].nats_per_token < np.log(1.2), "the model must have learnt something"
    cell = session["mgu"](5)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), 3)
    inputs, carry = jax.random.normal(jax.random.key(1), (6, 2, 3)), cell.initial_carry(2)

    def loss(params, implementation):
        outputs, _ = jaxrnn.unroll(
            cell, params, inputs, carry, lengths=jnp.array([6, 2]), implementation=implementation
        )
        return jnp.sin(outputs).sum()

    ours, oracle = (jax.grad(loss)(params, how) for how in ("scan", "autodiff"))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(oracle), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # float32 sums of a dozen terms


def test_the_readme_has_the_two_commands_that_ci_and_new_users_need():
    commands = re.findall(r"^python3 -m venv .venv && .*$", README, re.M)
    assert [command.split(" -m ")[-1] for command in commands] == ["experiments.jaychou", "pytest"]
