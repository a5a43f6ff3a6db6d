"""Lower bound of a training step: its matrix products and nothing else.

Per layer: the input product, T dependent products `[B, H] x [H, G*H]` forward and T dependent ones
`[B, G*H] x [G*H, H]` backward, and one product for each of the gradients of `w_ih`, `w_hh` and the
inputs; then the output layer's three.  It leaves out the gates and their derivatives, the loss, the
optimizer and the products of one-hot inputs, which need only gather rows.
"""

import functools
from typing import Any

import jax
from jax import lax

from benchmarks.peers.jax_models import cell_of
from benchmarks.workloads import Step, Workload


def floor(workload: Workload, steps_per_call: int = 1) -> Step:
    """Make a step that computes the products of `steps_per_call` training steps."""
    if jax.default_backend() != "cpu":  # where launching kernels takes longer than the products
        raise NotImplementedError("the products are a limit on CPUs only")
    num_gates = len(cell_of(workload).gates)
    layer_inputs = [workload.embedding_size] + [workload.hidden_size] * (workload.num_layers - 1)
    rows = workload.num_steps * workload.batch_size

    @jax.jit
    def products(arrays: Any) -> Any:
        return [
            _output_layer(*arrays["output"]),
            *(_layer(workload.num_steps, *layer) for layer in arrays["layers"]),
        ]

    keys = iter(jax.random.split(jax.random.key(0), 8 * workload.num_layers + 3))

    def normal(*shape: int) -> Any:
        return 0.01 * jax.random.normal(next(keys), shape)

    def layer(input_size: int | None) -> Any:
        hidden, gates = workload.hidden_size, num_gates * workload.hidden_size
        inputs = normal(rows, input_size) if input_size else None
        w_ih = normal(input_size, gates) if input_size else None
        recurrent = (normal(hidden, gates), normal(gates, hidden))
        at_one_step = (normal(workload.batch_size, hidden), normal(workload.batch_size, gates))
        return inputs, w_ih, *recurrent, *at_one_step, normal(rows, hidden), normal(rows, gates)

    shape = (workload.hidden_size, workload.vocab_size)
    output = (normal(rows, shape[0]), normal(*shape), normal(rows, shape[1]))
    arrays = {"output": output, "layers": [layer(size) for size in layer_inputs]}

    def step() -> None:
        for _ in range(steps_per_call):
            jax.block_until_ready(products(arrays))

    return step


def _output_layer(hidden: Any, kernel: Any, d_logits: Any) -> Any:
    return hidden @ kernel, hidden.T @ d_logits, d_logits @ kernel.T


def _layer(
    num_steps: int,
    inputs: Any,
    w_ih: Any,
    w_hh: Any,
    transposed: Any,
    hidden: Any,
    d_gates: Any,
    all_hidden: Any,
    all_d_gates: Any,
) -> Any:
    size = hidden.shape[1]

    def forward(hidden: Any, _: Any) -> tuple[Any, None]:
        return (hidden @ w_hh)[:, :size], None

    def backward(d_gates: Any, _: Any) -> tuple[Any, None]:  # in place: the cheapest dependence
        return lax.dynamic_update_slice(d_gates, d_gates @ transposed, (0, 0)), None

    scan = functools.partial(lax.scan, xs=None, length=num_steps)
    last, first = scan(forward, hidden)[0], scan(backward, d_gates)[0]
    of_w_hh = all_hidden.T @ all_d_gates
    if inputs is None:
        return last, first, of_w_hh
    of_input = (inputs @ w_ih, inputs.T @ all_d_gates, all_d_gates @ w_ih.T)
    return last, first, of_w_hh, *of_input
