"""A training step and a forward pass of one language model, in each library.

All have the same model (recurrent layers, a linear layer to the logits), mean cross-entropy,
clipping by the global norm and SGD.  Libraries that need one-hot input build it inside the step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

import jaxrnn
from benchmarks.peers import jax_models, pytorch
from benchmarks.peers.floor import floor
from benchmarks.peers.jax_models import Model
from benchmarks.workloads import LEARNING_RATE, MAX_GRAD_NORM, Step, Workload, batch_of


def ours(
    workload: Workload,
    steps_per_call: int = 1,
    implementation: str | None = None,
) -> Step:
    """Make our training step, by default with the default implementation."""
    model = jax_models.language_model(workload, implementation)
    optimizer = sgd()
    state = jaxrnn.init_state(
        model, optimizer, workload.vocab_size, workload.batch_size, jax.random.key(0)
    )
    inputs, targets = map(jnp.asarray, batch_of(workload))
    batch = jaxrnn.Batch(inputs, targets, None, jnp.ones(workload.batch_size, bool))
    train_step = jaxrnn.make_train_step(model, optimizer)
    return _make_run_steps(lambda state: train_step(state, batch)[0], state, steps_per_call)


def ours_by_cudnn(workload: Workload, steps_per_call: int = 1) -> Step:
    """Make our training step with cuDNN, or raise if it has no kernels for the workload."""
    if workload.cell != "lstm" or workload.embedding_size is None:
        raise NotImplementedError(f"{workload.name} is not an LSTM over vectors")
    if jax.default_backend() != "gpu":
        raise NotImplementedError("there is no GPU")
    return ours(workload, steps_per_call, implementation="cudnn")


def jax_train_step(
    make: Callable[[Workload], Model], workload: Workload, steps_per_call: int = 1
) -> Step:
    """Make the training step of a JAX peer."""
    params, logits_of = make(workload)
    train_step = jax_training(logits_of)
    inputs, targets = map(jnp.asarray, batch_of(workload))
    return _make_run_steps(
        lambda state: train_step(*state[:2], inputs, targets),
        (params, sgd().init(params), 0.0),
        steps_per_call,
    )


def jax_training(logits_of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return (params, opt_state, inputs, targets) -> (params, opt_state, loss), a training step."""

    def loss_of(params: Any, inputs: Any, targets: Any) -> Any:
        logits = logits_of(params, inputs)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    def train_step(params: Any, opt_state: Any, inputs: Any, targets: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, inputs, targets)
        updates, opt_state = sgd().update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    return train_step


def jax_forward(make: Callable[[Workload], Model], workload: Workload) -> Step:
    """Make the forward pass of a JAX peer, or ours."""
    params, logits_of = make(workload)
    inputs = jnp.asarray(batch_of(workload)[0])
    compiled = jax.jit(logits_of)
    return lambda: compiled(params, inputs).block_until_ready()


def sgd() -> optax.GradientTransformation:
    """Return the optimizer of all peers."""
    return optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.sgd(LEARNING_RATE))


def _make_run_steps(train_step: Callable[[Any], Any], state: Any, steps_per_call: int) -> Step:
    """Compile `train_step` into calls of several steps, to which the state is donated."""

    @functools.partial(jax.jit, donate_argnums=0)
    def call(state: Any) -> Any:
        if steps_per_call == 1:
            return train_step(state)
        return lax.fori_loop(0, steps_per_call, lambda _, state: train_step(state), state)

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(call(state))

    return step


JAX_PEERS = {
    "Flax nnx": jax_models.flax_nnx,
    "Haiku": jax_models.haiku,
    "Equinox": jax_models.equinox,
    "Keras": jax_models.keras,
}

TRAIN_STEP: dict[str, Callable[..., Step]] = {
    "jaxrnn": ours,
    "limit": floor,
    "jaxrnn, scan": functools.partial(ours, implementation="scan"),
    "jaxrnn, autodiff": functools.partial(ours, implementation="autodiff"),
    "jaxrnn, cuDNN": ours_by_cudnn,
    **{name: functools.partial(jax_train_step, make) for name, make in JAX_PEERS.items()},
    "PyTorch": pytorch.train_step,
    "torch.compile": functools.partial(pytorch.train_step, compiled=True),
}

FORWARD: dict[str, Callable[[Workload], Step]] = {
    "jaxrnn": functools.partial(jax_forward, jax_models.ours),
    "jaxrnn, scan": functools.partial(
        jax_forward, functools.partial(jax_models.ours, implementation="scan")
    ),
    **{name: functools.partial(jax_forward, make) for name, make in JAX_PEERS.items()},
    "PyTorch": pytorch.forward,
    "torch.compile": functools.partial(pytorch.forward, compiled=True),
}
