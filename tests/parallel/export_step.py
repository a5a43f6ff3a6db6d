"""Trace a training step on one device for eight, and write it to a file: `export_step FILE`."""

import functools
import sys

import jax
import jax.numpy as jnp
import optax
from jax import export
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

import jaxrnn

T, B, V = 35, 64, 28


def main(path):
    assert jax.device_count() == 1
    model = jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell="lstm", hidden_size=64, embedding_size=32), V
    )
    optimizer = optax.sgd(1.0)
    step = jaxrnn.make_train_step(model, optimizer)
    init_state = functools.partial(jaxrnn.init_state, model, optimizer, V, B)
    state = jax.eval_shape(init_state, jax.random.key(0))
    mesh = AbstractMesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def put(tree, *axes):
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    state = put(state).replace(carry=put(state.carry, "data"))
    ids = jax.ShapeDtypeStruct((T, B), jnp.int32)
    starts = put(jax.ShapeDtypeStruct((B,), bool), "data")
    batch = jaxrnn.Batch(*put((ids, ids), None, "data"), None, starts)
    leaves, tree = jax.tree.flatten((state, batch))

    @jax.jit
    def of_leaves(leaves):  # an exported function knows no types of ours
        return jax.tree.leaves(step(*jax.tree.unflatten(tree, leaves)))

    with open(path, "wb") as file:
        file.write(export.export(of_leaves)(leaves).serialize())


if __name__ == "__main__":
    main(sys.argv[1])
