"""A check of a network's size before it is trained."""

import math

import jax

from jaxrnn.layers import Layer
from jaxrnn.training.memory import physical_memory


def check_fits(model: Layer, input_size: int) -> None:
    """Raise if a model's training with Adam does not fit in memory: JAX would abort.

    Raises:
        ValueError: parameters, gradient and Adam's two averages need more than this machine has.
    """
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), input_size))
    leaves = jax.tree.leaves(params)
    needed = 4 * sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    if needed > physical_memory():
        raise ValueError(
            f"parameters, their gradient and the optimizer's state need {needed:,} bytes, but this"
            f" machine has {physical_memory():,}: choose a smaller hidden_size"
        )
