"""Averages of the parameters over the steps of a training, which often generalise better.

The average is part of the optimizer's state: whatever saves, splits or checks that state does the
same for it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn.checks import INT32_MAX, check_integer, check_number
from jaxrnn.typing import Array, Int, Params


class AverageState(NamedTuple):
    """The state of `average_params`."""

    num_updates: Int[Array, ""]
    """The number of updates so far."""
    average: Params
    """The average; before the first step that counts, the parameters."""


def average_params(decay: float, after: int = 0) -> optax.GradientTransformation:
    """Return a transformation that changes no update and keeps an average of the parameters.

    After the n-th step that counts, the average moves towards the parameters by a share of
    max(1 - decay, 1 / n): first it is the mean of all steps, then an exponential average.

    Args:
        decay: the share of the old average that remains at each step, such as 0.999; with 1 it is
            the mean of all steps, Polyak's average.
        after: the number of steps before the first one that counts.

    Returns:
        The last part of an `optax.chain`, for it has to see the final updates.

    Raises:
        TypeError, ValueError: `decay` is not a number in 0..1, or `after` not an integer from 0 on.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn, optax
        >>> from jaxrnn.training import average_params
        >>> optimizer = optax.chain(optax.sgd(1.0), average_params(1.0))
        >>> params = jnp.zeros(())
        >>> state = optimizer.init(params)
        >>> for _ in range(3):  # params 1, 2, 3
        ...     updates, state = optimizer.update(-jnp.ones(()), state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> float(state[-1].average)
        2.0

    Reference:
        Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; for
        language models Merity, Keskar and Socher, Regularizing and optimizing LSTM language models,
        2018, arXiv:1708.02182, section 4.
    """
    check_number("decay", decay, low=0.0, high=1.0)
    check_integer("after", after)
    check_number("after", after, low=0, high=INT32_MAX)

    def init(params: Params) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: AverageState, params: Any = None) -> tuple[Any, AverageState]:
        if params is None:
            raise ValueError("params must be given to average them, got None")
        count = optax.safe_increment(state.num_updates)
        counted = jnp.maximum(count - after, 1).astype(jnp.float32)
        share = jnp.maximum(1 - decay, 1 / counted)
        new = optax.apply_updates(params, updates)
        average = jax.tree.map(
            lambda old, new: old + share.astype(old.dtype) * (new - old), state.average, new
        )
        return updates, AverageState(count, average)

    return optax.GradientTransformation(init, update)


def average_of(opt_state: optax.OptState) -> Params | None:
    """Return the average that `average_params` keeps in an optimizer's state, or None.

    Raises:
        ValueError: the state holds several.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> optimizer = jaxrnn.TrainConfig(average=0.99).make_optimizer()
        >>> state = jaxrnn.init_state(model, optimizer, 28, batch_size=4, key=jax.random.key(0))
        >>> type(jaxrnn.training.average_of(state.opt_state)).__name__
        'LanguageModelParams'
    """
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, AverageState))
    averages = [part.average for part in parts if isinstance(part, AverageState)]
    if len(averages) > 1:
        raise ValueError(f"opt_state must hold at most one average, got {len(averages)}")
    return averages[0] if averages else None
