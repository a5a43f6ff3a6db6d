"""The programs to compile: their functions, and what they would read, described on a mesh."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxrnn
from benchmarks.on_device import LayerSizes, flax_loss, loss_of
from benchmarks.peers import jax_models
from benchmarks.peers.steps import jax_training, sgd
from benchmarks.workloads import Workload
from jaxrnn.cells import BaseCell
from jaxrnn.training.train_step import TrainState

SIZES = LayerSizes("lstm", 256, 32, 40)
"""Those of the layers whose loops are counted, but for the cell."""
PROMPT, NUM_TOKENS = 8, 512


class Program(NamedTuple):
    """A function to compile, and descriptions of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    """Of `jax.jit`."""


def train_step(workload: Workload, mesh: Mesh) -> Program:
    """Our training step; each device takes a batch of the workload's size."""
    batch_size = workload.batch_size * mesh.size
    model = jax_models.language_model(workload)
    state = jax.eval_shape(
        lambda key: jaxrnn.init_state(model, sgd(), workload.vocab_size, batch_size, key),
        jax.random.key(0),
    )
    specs = TrainState(params=P(), opt_state=P(), carry=P("data"), key=P(), step=P())
    ids = jax.ShapeDtypeStruct((workload.num_steps, batch_size), jnp.int32)
    starts: Any = jax.ShapeDtypeStruct((batch_size,), bool)
    batch = jaxrnn.Batch(inputs=ids, targets=ids, mask=None, starts=starts)
    rows: Any = P("data")
    batches = jaxrnn.Batch(P(None, "data"), P(None, "data"), mask=None, starts=rows)
    outputs = jax.tree.map(lambda spec: NamedSharding(mesh, spec), (specs, P()))
    return Program(
        jaxrnn.make_train_step(model, sgd()),
        (_on(mesh, specs, state), _on(mesh, batches, batch)),
        {"donate_argnums": 0, "out_shardings": outputs},
    )


def flax_train_step(workload: Workload, mesh: Mesh) -> Program:
    """Flax's training step, on one device."""
    params, logits_of = jax_models.flax_nnx(workload)
    ids = jax.ShapeDtypeStruct((workload.num_steps, workload.batch_size), jnp.int32)
    arguments = params, jax.eval_shape(sgd().init, params), ids, ids
    return Program(jax_training(logits_of), _on(mesh, P(), arguments), {"donate_argnums": (0, 1)})


def gradient(cell: BaseCell, mesh: Mesh) -> Program:
    """The gradient of a layer's outputs with respect to its parameters and inputs."""
    layer = jaxrnn.recurrent(cell)
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), SIZES.hidden_size))
    return _gradient(loss_of(layer), params, mesh)


def flax_gradient(cell: Any, mesh: Mesh) -> Program:
    """The same gradient of Flax's layer."""
    return _gradient(*flax_loss(SIZES._replace(cell=cell)), mesh)


def _gradient(loss: Callable[..., Any], params: Any, mesh: Mesh) -> Program:
    shape = SIZES.num_steps, SIZES.batch_size, SIZES.hidden_size
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    return Program(jax.grad(loss, argnums=(0, 1)), _on(mesh, P(), (params, inputs)), {})


def generation(workload: Workload, mesh: Mesh) -> Program:
    """Greedy generation after a prompt, one text."""
    model = jax_models.language_model(workload)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), workload.vocab_size))
    prompt = jax.ShapeDtypeStruct((PROMPT, 1), jnp.int32)

    def generate(params: Any, prompt: Any) -> Any:
        return jaxrnn.generate_ids(model, params, prompt, NUM_TOKENS)

    return Program(generate, _on(mesh, P(), (params, prompt)), {})


def _on(mesh: Mesh, specs: Any, tree: Any) -> Any:
    """Describe arrays that lie on a mesh, given how their axes are split."""

    def describe(spec: P, arrays: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding), arrays
        )

    return jax.tree.map(describe, specs, tree)
