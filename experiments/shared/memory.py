"""A check of a network's size before it is trained."""

import jax

from jaxrnn.layers import Layer
from jaxrnn.runs.digests import num_bytes
from jaxrnn.training import memory


def check_fits(model: Layer, input_size: int) -> None:
    """Raise if parameters, gradient and Adam's two averages do not fit in this machine's memory.

    Raises:
        ValueError: they do not; JAX would abort.
    """
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), input_size))
    memory.check_fits(4 * num_bytes(params), "hidden_size")
