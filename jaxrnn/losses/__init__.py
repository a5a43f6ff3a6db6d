"""Losses and metrics: functions (outputs, batch) -> (sum, weight), and the units of their mean.

What training minimises, and what a metric reports, is sum / weight over a whole batch, or a whole
data set: padding, masked targets and short batches never weigh too much or too little.
`labels.py` compares outputs with classes, and `numbers.py` with numbers; `activations.py` adds
penalties on what a language model computes inside; `valid.py` sums over the
targets that count, `last_step.py` compares nothing but the outputs at the last valid step, and
`units.py` converts nats.

Any function of that form is a loss:

    >>> import jax.numpy as jnp, jaxrnn
    >>> def huber(outputs, batch):
    ...     errors = optax.losses.huber_loss(outputs, batch.targets).mean(axis=-1)
    ...     return jaxrnn.losses.sum_valid(errors, batch)
    >>> import optax
    >>> batch = jaxrnn.Batch(jnp.ones((5, 2, 3)), targets=jnp.zeros((5, 2, 1)))
    >>> huber(jnp.ones((5, 2, 1)), batch)
    (Array(5., dtype=float32), Array(10, dtype=int32))
"""

from jaxrnn.losses.activations import ActivationPenalty, Penalty
from jaxrnn.losses.labels import accuracy, binary_cross_entropy, cross_entropy
from jaxrnn.losses.last_step import at_last_step
from jaxrnn.losses.numbers import absolute_error, quantile, squared_error
from jaxrnn.losses.units import bits_per_character, perplexity
from jaxrnn.losses.valid import Loss, sum_valid

__all__ = [  # noqa: RUF022, sorted by topic
    "Loss",
    # classes
    "cross_entropy",
    "binary_cross_entropy",
    "accuracy",
    # numbers
    "squared_error",
    "absolute_error",
    "quantile",
    # activations
    "ActivationPenalty",
    "Penalty",
    # which targets count
    "sum_valid",
    "at_last_step",
    # units
    "perplexity",
    "bits_per_character",
]
