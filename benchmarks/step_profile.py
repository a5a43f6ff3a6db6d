"""Time of a training step of `experiments.shakespeare` by its parts.

    python -m benchmarks.step_profile

Times the step, and programs that do a part of it or leave a part out.  They take turns in one
process; the table has the medians, and their shares of the whole step.  "alone" is a program with
that part and nothing else.  "added" is the time of a program with the part minus the time of one
without it, and as uncertain as both.  The update is everything that follows the gradient.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import jaxrnn
from benchmarks.peers.floor import floor
from benchmarks.timing import describe_machine, measure
from benchmarks.workloads import Step, Workload
from experiments import shakespeare
from experiments.shared.tables import print_head, print_row
from jaxrnn.layers.recurrent import Recurrent
from jaxrnn.losses import cross_entropy
from jaxrnn.runs.run import Run
from jaxrnn.text import gather_windows
from jaxrnn.training import train_step as step_module
from jaxrnn.training.batch_loss import loss_of_batch
from jaxrnn.training.gradient import Gradient, make_gradient
from jaxrnn.training.optimizer import optax_promotion

STEPS_PER_CALL = 4
"""Steps of the long loop."""


def calling(function: Callable[..., Any], *arguments: Any) -> Step:
    """Make a step that calls a compiled function and waits for its results."""
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def updating(function: Callable[..., Any], state: Any, *others: Any) -> Step:
    """Make a step that replaces a state by what a compiled function makes of it, in its memory."""
    compiled, state = jax.jit(function, donate_argnums=0), jax.tree.map(jnp.copy, state)

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, *others))

    return step


def make_programs(run: Run) -> dict[str, Step]:
    """Make everything that is timed."""
    state, batch = run.initial_state(), first_batch(run)
    arguments = (state.params, batch, state.carry)
    gradient = make_gradient(run.model)
    train_step = jaxrnn.make_train_step(run.model, run.optimizer)

    def step(state: Any, batch: Any) -> Any:
        return train_step(state, batch)[0]

    def loop(state: Any, batch: Any, num_steps: Any) -> Any:
        return lax.fori_loop(0, num_steps, lambda _, state: step(state, batch), state)

    def forward(*arguments: Any) -> Any:
        return loss_of_batch(run.model, cross_entropy, *arguments)

    return {
        "loop": updating(loop, state, batch, np.int32(1)),
        "long loop": updating(loop, state, batch, np.int32(STEPS_PER_CALL)),
        "step": updating(step, state, batch),
        "gradient": calling(gradient, *arguments, state.key),
        "without noise": calling(gradient, *arguments, None),
        "forward": calling(forward, *arguments, state.key),
        "products": floor(workload_of(run)),
        **parts_of_gradient(run, batch),
        **parts_of_update(run, jax.jit(gradient)(*arguments, state.key).grads),
    }


def first_batch(run: Run) -> jaxrnn.Batch:
    """Return the first batch of the training."""
    config, ids = run.settings.training, run.texts.ids
    windows = config.plans(len(ids)).plan(0)[:1]
    inputs, targets = gather_windows(jnp.asarray(ids), windows.offsets[0], config.num_steps)
    return jaxrnn.Batch(inputs, targets, None, jnp.asarray(windows.starts[0]))


def workload_of(run: Run) -> Workload:
    """Return the sizes of a run's model and batch."""
    model, training = run.settings.model, run.settings.training
    sizes = (model.hidden_size, model.num_layers, run.vocab_size)
    batch = (training.batch_size, training.num_steps)
    return Workload(str(run.settings.out), model.cell, *sizes, *batch, model.embedding_size)


def parts_of_gradient(run: Run, batch: jaxrnn.Batch) -> dict[str, Step]:
    """Make programs of one layer each, forward and backward, and of the masks of weight drop."""
    model: Any = run.model
    params, (num_steps, num_rows) = run.initial_state().params, batch.inputs.shape
    pairs = zip(model.body.layers, params.body, strict=True)
    layers = [(layer, own) for layer, own in pairs if isinstance(layer, Recurrent)]

    def vectors(size: int) -> Any:
        return jax.random.normal(jax.random.key(size), (num_steps, num_rows, size))

    def both_ways(layer: Recurrent) -> Callable[..., Any]:
        def function(params: Any, inputs: Any, cotangents: Any) -> Any:
            _, pull_back = jax.vjp(lambda *both: layer.apply(*both)[0], params, inputs)
            return pull_back(cotangents)

        return function

    def weight_drop(key: Any, weights: list[Any]) -> list[Any]:
        return [
            layer.regularizers.drop(key, layer.cell, w_hh, num_rows)
            for (layer, _), w_hh in zip(layers, weights, strict=True)
        ]

    def loss(output: Any, hidden: Any) -> Any:
        return cross_entropy(model.output.apply(output, hidden)[0], batch)[0]

    programs = {}
    for number, (layer, own) in enumerate(layers, 1):
        arrays = vectors(own.w_ih.shape[0]), vectors(layer.cell.hidden_size)
        programs[f"layer {number}"] = calling(both_ways(layer), own, *arrays)
    hidden = vectors(params.output.kernel.shape[0])
    programs["loss"] = calling(jax.value_and_grad(loss, (0, 1)), params.output, hidden)
    weights = [own.w_hh for _, own in layers]
    return programs | {"weight drop": calling(weight_drop, jax.random.key(0), weights)}


def given_gradient(params: Any, batch: Any, carry: Any, key: Any) -> Gradient:
    """Return the gradient that a step was given in place of its batch."""
    return Gradient(jnp.ones(()), jnp.ones(()), batch, carry)


def parts_of_update(run: Run, grads: Any) -> dict[str, Step]:
    """Make programs of the update, given the gradient: the whole, and without one part each."""
    training, num_ids = run.settings.training, len(run.texts.ids)

    def update(**changes: Any) -> Step:
        optimizer = dataclasses.replace(training, **changes).make_optimizer(num_ids)
        state = run.initial_state()
        state = state.replace(opt_state=optimizer.init(state.params))
        with mock.patch.object(step_module, "make_gradient", return_value=given_gradient):
            step: Any = jaxrnn.make_train_step(run.model, optimizer)
        return updating(lambda state, grads: step(state, grads)[0], state, grads)

    def without_checks(state: Any, grads: Any) -> Any:
        with optax_promotion():
            updates, opt_state = run.optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        return state.replace(params=params, opt_state=opt_state)

    return {
        "update": update(),
        "without average": update(average=None, average_after=0),
        "without clipping": update(max_grad_norm=None),
        "without checks": updating(without_checks, run.initial_state(), grads),
    }


def rows(times: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the name and the milliseconds of each part."""
    yield "the step, in a loop as `jaxrnn.train` runs it", times["loop"]
    yield f"the same, {STEPS_PER_CALL} steps per call", times["long loop"] / STEPS_PER_CALL
    yield "the step, without a loop", times["step"]
    yield "the gradient, alone", times["gradient"]
    yield "- its forward pass, alone", times["forward"]
    for name in times:
        if name.startswith("layer"):
            yield f"- {name}, forward and backward, alone", times[name]
    yield "- logits and loss, forward and backward, alone", times["loss"]
    yield "- all masks, added", times["gradient"] - times["without noise"]
    yield "- weight drop, forward, alone", times["weight drop"]
    yield "- the matrix products, alone", times["products"]
    yield "the update, alone", times["update"]
    for part in ("clipping", "average", "checks"):
        yield f"- {part}, added", times["update"] - times[f"without {part}"]


def profile(run: Run, repetitions: int) -> None:
    """Time all parts and print the table."""
    times = measure(make_programs(run), repetitions)
    print_head("part", "ms", "share")
    for name, time in rows(times):
        print_row(name, f"{time:.2f}", f"{time / times['loop']:.3f}")


def main() -> None:
    """Profile a step of the experiment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=20, help="timed calls of each program")
    options = parser.parse_args()
    print(f"{describe_machine()}; median of {options.repetitions} interleaved\n")
    profile(Run(shakespeare.Settings()), options.repetitions)


if __name__ == "__main__":
    main()
