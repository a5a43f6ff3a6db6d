"""A type checker helps whoever uses the package: `mypy --strict` in a user's script."""

import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SCRIPT = """
    from typing import Any

    import jax
    import jax.numpy as jnp

    import jaxrnn
    from jaxrnn.typing import Gates


    def mgu_update(
        cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: jaxrnn.HiddenCarry
    ) -> jaxrnn.HiddenCarry:
        (x_f, x_n), (h_f, h_n) = input_gates, hidden_gates
        f = jax.nn.sigmoid(x_f + h_f)
        return jaxrnn.HiddenCarry((1 - f) * carry.hidden + f * jnp.tanh(x_n + f * h_n))


    def mgu(hidden_size: int) -> jaxrnn.Cell:
        zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, hidden_size)
        gates = ("forget", "candidate")
        return jaxrnn.Cell("mgu", hidden_size, gates=gates, initial_carry=zeros, update=mgu_update)


    cell = mgu(32)
    layer = jaxrnn.stack([jaxrnn.recurrent(cell), jaxrnn.bidirectional(jaxrnn.recurrent(cell))])
    params = layer.init(jax.random.key(0), 8)
    inputs = jnp.ones((5, 3, 8))
    lengths = jnp.array([5, 0, 2])
    outputs, carry = layer.apply(params, inputs, lengths=lengths)
    outputs, carry = layer.apply(params, inputs, layer.initial_carry(params, 3), lengths=lengths)
    own = jaxrnn.recurrent(cell).init(jax.random.key(0), 8)
    outputs, carry = jaxrnn.unroll(cell, own, inputs, cell.initial_carry(3), return_carries=True)
    print(outputs.shape, cell.initial_carry(3, jnp.bfloat16), layer.summary(params))
"""
WRONG = {
    'layer.apply(params, inputs, lenghts=lengths)': "lenghts",
    'layer.apply(params, inputs, carry, lengths)': "positional",
    'jaxrnn.unroll(cell, own, inputs, revers=True)': "revers",
    'jaxrnn.Cell("x", 3, num_gates=2, initial_carry=cell.initial_carry, update=mgu_update)':
        "num_gates",
    'jaxrnn.Cell("x", 3, gates=("a",), initial_carry=cell.initial_carry, update=len)': "update",
    'jaxrnn.stack([cell])': "List item",
    'jaxrnn.recurrent(cell, num_head=2)': "num_head",
}  # fmt: skip


def test_scripts_are_checked(tmp_path, monkeypatch):
    """What the documentation shows passes; each wrong call is found."""
    api = pytest.importorskip("mypy.api")
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    script = tmp_path / "script.py"
    lines = textwrap.dedent(SCRIPT).strip().splitlines()
    script.write_text("\n".join([*lines, *WRONG]) + "\n")
    options = ["--strict", "--no-error-summary", "--cache-dir", str(tmp_path)]
    options += ["--config-file", str(ROOT / "pyproject.toml")]
    report, errors, _ = api.run([*options, str(script)])
    assert errors == ""
    found = [line for line in report.splitlines() if line.startswith(str(script))]
    by_line = {int(line.split(":")[1]): line for line in found if ": error: " in line}
    assert sorted(by_line) == list(range(len(lines) + 1, len(lines) + 1 + len(WRONG))), report
    for line, (call, word) in zip(sorted(by_line), WRONG.items(), strict=True):
        assert word in by_line[line], (call, by_line[line])
