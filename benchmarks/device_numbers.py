"""Check that everything gives on this accelerator what it gives on the CPU.

    python -m benchmarks.device_numbers

Prints one line per case, and exits with 1 if one of them is wrong.  Products are taken at the
highest precision, so that a difference is an error and not TF32 or bfloat16.  Errors are norms of
differences, relative to the norm of what the CPU gives.
"""

import argparse
import functools
import itertools
import operator
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from benchmarks.timing import describe_machine
from jaxrnn.model_config import CELLS

TOLERANCE = 2e-5
"""The largest error of results in float32: some hundred roundings of 6e-8 in T = 37 steps."""
T, B, D, H = 37, 6, 24, 64
THREADS = 8
"""Cases compiled at the same time."""


class Case(NamedTuple):
    """A computation that must give the same on both devices."""

    name: str
    run: Callable[[], Any]
    """Returns arrays.  It is called with a default device for what it makes and computes."""
    reference: Callable[[], Any] | None = None
    """What the CPU runs instead, where it cannot run the same."""
    tolerance: float = TOLERANCE


def layer_case(
    cell: str,
    implementation: str | None,
    both: bool,
    ragged: bool,
    resets: bool,
    dtype: Any = None,
) -> Case:
    """Make the case of a layer's outputs and gradients."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((T, B, D)).astype(np.float32)
    lengths = np.array([0, 1, 5, T, T - 1, 20], np.int32) if ragged else None
    reset_mask = rng.random((T, B)) < 0.1 if resets else None

    def results(implementation: str | None) -> Any:
        one_way = jaxrnn.recurrent(CELLS[cell](H), implementation=implementation, dtype=dtype)
        layer: jaxrnn.Layer = jaxrnn.bidirectional(one_way) if both else one_way
        params = layer.init(jax.random.key(0), D)

        def loss(params: Any, inputs: Any) -> Any:
            carry = layer.initial_carry(params, B)
            outputs, last = layer.apply(params, inputs, carry, lengths=lengths, resets=reset_mask)
            squares = sum((leaf**2).sum() for leaf in jax.tree.leaves((outputs, last)))
            return squares, outputs

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(params, inputs)

    words = [cell, implementation or "default", "both directions" * both]
    words += ["lengths" * ragged, "resets" * resets, "" if dtype is None else jnp.dtype(dtype).name]
    return Case(
        " ".join(filter(None, words)),
        functools.partial(results, implementation),
        functools.partial(results, "autodiff"),
        TOLERANCE if dtype is None else 0.03,  # bfloat16 rounds by 0.004
    )


def language_model() -> jaxrnn.Layer:
    """Make the model of the cases below."""
    return jaxrnn.language_model(28, jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(H))] * 2))


def trained(parallel: Literal["jit", "pmap"] | None) -> Any:
    """Return parameters after an epoch, by a loop over training steps or by `jaxrnn.train`."""
    model, optimizer = language_model(), optax.sgd(0.5)
    ids = np.random.default_rng(0).integers(0, 28, 400).astype(np.int32)
    state = jaxrnn.init_state(model, optimizer, 28, B, jax.random.key(0))
    if parallel is None:
        train_step = jax.jit(jaxrnn.make_train_step(model, optimizer))
        batches = jaxrnn.sequential_windows(ids, B, 10)
        for number in range(len(batches.inputs)):
            batch = jax.tree.map(operator.itemgetter(number), batches)
            state, _ = train_step(state, batch)
        return state.params
    config = jaxrnn.TrainConfig(
        windows="sequential", batch_size=B, num_steps=10, epochs=1, parallel=parallel
    )
    for trained_state, _ in jaxrnn.train(model, optimizer, config, ids, state):
        params = jax.device_get(trained_state.params)
    return params


def generated() -> Any:
    """Return log-probabilities of greedy text, and the tokens: one wrong token is an error of 1."""
    model = language_model()
    params = jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0), 28))
    prompt = jnp.arange(3 * B, dtype=jnp.int32).reshape(3, B)
    result = jaxrnn.generate_ids(model, params, prompt, 50, sampling=jaxrnn.Sampling(temperature=0))
    return result.ids.astype(jnp.float32), result.log_probabilities


def curvature() -> Any:
    """Return a Hessian times a vector, forward over reverse."""
    layer = jaxrnn.recurrent(jaxrnn.gru(H))
    params = layer.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D))

    def loss(params: Any) -> Any:
        return (layer.apply(params, inputs, layer.initial_carry(params, B))[0] ** 2).sum()

    return jax.jit(lambda params: jax.jvp(jax.grad(loss), (params,), (params,))[1])(params)


def cases(has_cudnn: bool) -> Iterator[Case]:
    """Yield all cases."""
    masks = ((False, False), (True, False), (True, True))
    for cell, both, (ragged, resets) in itertools.product(CELLS, (False, True), masks):
        yield layer_case(cell, None, both, ragged, resets)
        if has_cudnn and cell == "lstm" and not resets:
            yield layer_case(cell, "cudnn", both, ragged, resets)
    for cell in CELLS:
        yield layer_case(cell, "autodiff", False, True, True)
        yield layer_case(cell, None, False, True, True, jnp.bfloat16)
    steps = functools.partial(trained, None)
    yield Case("training steps", steps)
    # The reference is the loop: `train` takes the default platform's devices.
    yield Case("train, jit", functools.partial(trained, "jit"), steps)
    yield Case("train, pmap", functools.partial(trained, "pmap"), steps)
    yield Case("greedy generation", generated)
    yield Case("Hessian times vector", curvature)


def error_of(case: Case, device: jax.Device, cpu: jax.Device) -> float | str:
    """Return the largest error over the arrays of a case, or what it raised."""
    results = []
    for where, run in ((cpu, case.reference or case.run), (device, case.run)):
        try:
            with jax.default_device(where):
                arrays = jax.device_get(run())
        except Exception as error:
            return f"{type(error).__name__} on the {where.platform}: {str(error)[:200]}"
        results.append([np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(arrays)])
    theirs, ours = results
    norms = [max(float(np.linalg.norm(a)), 1e-6) for a in theirs]
    errors = [np.linalg.norm(a - b) / n for a, b, n in zip(theirs, ours, norms, strict=True)]
    return float(np.max(errors))  # NaN if one of them is


def main() -> int:
    """Run all cases, print their errors, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only the cases whose name contains this")
    options = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    device, cpu = jax.devices()[0], jax.devices("cpu")[0]
    print(describe_machine())
    todo = [case for case in cases(device.platform == "gpu") if options.only in case.name]
    wrong = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for case, error in zip(
            todo, pool.map(lambda case: error_of(case, device, cpu), todo), strict=True
        ):
            bad = isinstance(error, str) or not error <= case.tolerance
            wrong += bad
            text = error if isinstance(error, str) else f"{error:.1e}"
            print("WRONG" if bad else "ok   ", case.name, text, flush=True)
    print(f"{wrong} of {len(todo)} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
