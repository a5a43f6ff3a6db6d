"""The matrix products of a training step and nothing else, as XLA runs them.

Per layer: the input product, T dependent products `[B, H] x [H, G*H]` forward and T dependent ones
`[B, G*H] x [G*H, H]` backward, and one product for each of the gradients of `w_ih`, `w_hh` and the
inputs; then the output layer's three.  It leaves out the gates and their derivatives, the loss, the
optimizer and the products of one-hot inputs, which need only gather rows.

The loops follow each other as in a training step.  Each step begins with rows that the one before
has computed, or XLA would do the products of many steps once.
"""

import functools
from typing import Any, NamedTuple

import jax
from jax import lax

from benchmarks.peers.jax_models import cell_of
from benchmarks.workloads import Step, Workload


class Layer(NamedTuple):
    """The operands of a layer's products; `rows` are those of all time steps."""

    inputs: Any
    """`[rows, D]`; None if they are token ids."""
    w_ih: Any
    w_hh: Any
    transposed: Any
    """`w_hh`, transposed."""
    hidden: Any
    """`[rows, H]`"""
    d_gates: Any
    """`[rows, G*H]`"""


class Output(NamedTuple):
    """The operands of the output layer's products."""

    hidden: Any
    kernel: Any


def floor(workload: Workload, steps_per_call: int = 1) -> Step:
    """Make a step that computes the products of `steps_per_call` training steps."""
    if jax.default_backend() != "cpu":  # where launching kernels takes longer than the products
        raise NotImplementedError("the products are a limit on CPUs only")
    operands = _operands(workload)

    def products(operands: Any) -> Any:
        return _products(workload.num_steps, workload.batch_size, *operands)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def call(operands: Any, results: Any) -> Any:
        return lax.fori_loop(
            0, steps_per_call, lambda _, state: products(state[0]), (operands, results)
        )

    state = jax.jit(products)(operands)

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(call(*state))

    return step


def _operands(workload: Workload) -> tuple[list[Layer], Output]:
    size, rows = workload.hidden_size, workload.num_steps * workload.batch_size
    gates = len(cell_of(workload).gates) * size
    input_sizes = [workload.embedding_size] + [size] * (workload.num_layers - 1)
    keys = iter(jax.random.split(jax.random.key(0), 6 * workload.num_layers + 2))

    def normal(*shape: int) -> Any:
        return 0.01 * jax.random.normal(next(keys), shape)

    layers = [
        Layer(
            normal(rows, input_size) if input_size else None,
            normal(input_size, gates) if input_size else None,
            *(normal(size, gates), normal(gates, size), normal(rows, size), normal(rows, gates)),
        )
        for input_size in input_sizes
    ]
    return layers, Output(normal(rows, size), normal(size, workload.vocab_size))


def _products(
    num_steps: int, num_rows: int, layers: list[Layer], output: Output
) -> tuple[tuple[list[Layer], Output], Any]:
    """Return operands for another step, and all products that are not operands of others."""
    results, last = [], output.hidden[:num_rows]
    for layer in layers:
        if layer.inputs is not None:
            results.append(layer.inputs @ layer.w_ih)
        last = _forward(num_steps, layer.w_hh, last)

    output = output._replace(hidden=_replace_first(output.hidden, last))
    logits = output.hidden @ output.kernel
    d_hidden = logits @ output.kernel.T
    results.append(output.hidden.T @ logits)

    after, first = [], d_hidden[:num_rows]
    for layer in reversed(layers):
        start = _replace_first(layer.d_gates[:num_rows], first)
        d_last = _backward(num_steps, layer.transposed, start)
        d_gates = _replace_first(layer.d_gates, d_last)
        results.append(layer.hidden.T @ d_gates)
        inputs, first = layer.inputs, d_last[:, : first.shape[1]]
        if inputs is not None:
            results += [inputs.T @ d_gates, d_gates @ layer.w_ih.T]
            inputs = _replace_first(inputs, first[:, : inputs.shape[1]])
        hidden = _replace_first(layer.hidden, first)
        after.append(layer._replace(inputs=inputs, hidden=hidden, d_gates=d_gates))
    return (after[::-1], output), results


def _forward(num_steps: int, w_hh: Any, hidden: Any) -> Any:
    def step(hidden: Any, _: Any) -> tuple[Any, None]:
        return (hidden @ w_hh)[:, : hidden.shape[1]], None

    return lax.scan(step, hidden, None, num_steps)[0]


def _backward(num_steps: int, transposed: Any, d_gates: Any) -> Any:
    def step(d_gates: Any, _: Any) -> tuple[Any, None]:
        # In place, the cheapest dependence on the step before.
        return _replace_first(d_gates, d_gates @ transposed), None

    return lax.scan(step, d_gates, None, num_steps)[0]


def _replace_first(array: Any, rows: Any) -> Any:
    """Write into the first rows and columns of an array."""
    return lax.dynamic_update_slice(array, rows, (0, 0))
