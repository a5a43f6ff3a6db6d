"""Gradients of segments of a text, and how large they are on average."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import widen_ids
from jaxrnn.layers import Layer
from jaxrnn.matmul import at_least_float32
from jaxrnn.scoring.probability import check_scorer, log_probabilities
from jaxrnn.text.windows import check_text, sequential_windows
from jaxrnn.typing import AnyArray, Carry, Integer, Params


def mean_squared_gradients(
    model: Layer,
    params: Params,
    ids: Integer[AnyArray, "n"],
    *,
    batch_size: int = 16,
    num_steps: int = 20,
) -> Params:
    """Return the mean square of each parameter's gradient over the segments of a training text.

    `dynamic_score` divides by their roots.  The text is split into rows, which are read side by
    side, as in training with sequential windows: the carry passes from segment to segment.  The
    gradient is that of the mean cross-entropy of one segment of one row, as in a text that is
    scored; each is squared by itself, so `batch_size` only says how many to compute at once.

    The paper squares the gradient of a whole batch, whose size becomes a hyperparameter: gradients
    of different rows cancel, so that the mean square is about 1 / batch_size of that of single
    rows.  Its code has batches of 100, a learning rate of 5e-5 and an epsilon of 2e-5, which
    correspond to about 5e-4 and 2e-4 here.

    Args:
        model: a causal language model.
        params: its parameters.
        ids: the text that the model was trained on, of at least `batch_size * num_steps + 1`
            tokens.  A part of a long text saves time; what has no gradient in it, such as the
            embedding of a token that it lacks, has the mean square 0.
        batch_size: rows to read side by side.  Memory has to hold a gradient of each.
        num_steps: tokens per segment, as for `dynamic_score`.

    Returns:
        A tree like `params`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: the text is too short, an id or a size is out of range, or the model is not
            causal or not time-major.

    Reference:
        Krause, Kahembwe, Murray and Renals, Dynamic evaluation of neural sequence models, 2018,
        arXiv:1709.07432; its code is github.com/benkrause/dynamic-evaluation.

    Examples:
        >>> import jax, jaxrnn, numpy as np
        >>> from jaxrnn.scoring import mean_squared_gradients
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params, ids = model.init(jax.random.key(0), 28), np.arange(60) % 3
        >>> squares = mean_squared_gradients(model, params, ids, batch_size=2, num_steps=5)
        >>> squares.output.bias.shape, bool((squares.output.bias > 0).all())
        ((28,), True)
    """
    check_scorer(model)
    check_text(ids)
    ids = widen_ids("ids", ids, model.output_size(0))
    windows = sequential_windows(ids, batch_size, num_steps)
    return _mean_squared_gradients(model, params, windows.inputs, windows.targets)


@functools.partial(jax.jit, static_argnums=0)
def _mean_squared_gradients(model: Layer, params: Params, inputs: Any, targets: Any) -> Params:
    num_windows, num_steps, batch_size = inputs.shape
    mask = jnp.ones(num_steps, bool)

    def gradient_of_row(carry: Carry, inputs: Any, targets: Any) -> tuple[Params, Carry]:
        grads, _, carry = segment_gradient(model, params, carry, inputs, targets, mask)
        return grads, carry

    gradients_of_rows = jax.vmap(gradient_of_row, in_axes=(0, 1, 1))

    def add_window(state: Any, window: tuple[Any, Any]) -> tuple[Any, None]:
        sums, carries = state
        grads, carries = gradients_of_rows(carries, *window)
        sums = jax.tree.map(
            lambda total, grad: total + jnp.square(grad.astype(total.dtype)).sum(axis=0),
            sums,
            grads,
        )
        return (sums, carries), None

    # A carry of one row for each row, because each row's gradient is one of its own.
    carries = jax.tree.map(
        lambda of_one: jnp.broadcast_to(of_one[None], (batch_size, *of_one.shape)),
        model.initial_carry(params, 1),
    )
    zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, at_least_float32(p.dtype)), params)
    (sums, _), _ = lax.scan(add_window, (zeros, carries), (inputs, targets))
    number = num_windows * batch_size
    return jax.tree.map(lambda total, p: (total / number).astype(p.dtype), sums, params)


def segment_gradient(
    model: Layer, params: Params, carry: Carry, inputs: Any, targets: Any, mask: Any
) -> tuple[Params, Any, Carry]:
    """Return the gradient of a segment's mean cross-entropy, given the carry before it.

    Args:
        carry: of one row.
        inputs, targets: token ids `[T]`.
        mask: True for the targets that count, bool `[T]`; the gradient is 0 if none does.

    Returns:
        (gradient, log-probabilities `[T]` of all targets, the carry after the segment)
    """

    def mean_cross_entropy(params: Params) -> tuple[Any, Any]:
        of_tokens, after = log_probabilities(
            model, params, carry, inputs[:, None], targets[:, None]
        )
        total = jnp.where(mask, of_tokens[:, 0], 0.0).sum()
        number = jnp.maximum(mask.sum(dtype=total.dtype), 1.0)
        return -total / number, (of_tokens[:, 0], after)

    grads, (of_tokens, after) = jax.grad(mean_cross_entropy, has_aux=True)(params)
    return grads, of_tokens, after
