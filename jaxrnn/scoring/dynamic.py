"""Dynamic evaluation: a text is scored by a model that keeps learning from it.

A text repeats itself, in its names for instance, so that some of it helps to predict the rest.  A
carry holds little of that, and not for long; parameters hold more.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.checks import (
    FLOAT32_MAX,
    check_like,
    check_mask,
    check_number,
    check_positive_integer,
    is_concrete,
    widen_ids,
)
from jaxrnn.layers import Layer
from jaxrnn.scoring.gradients import segment_gradient
from jaxrnn.scoring.probability import Score, check_scorer, log_probabilities, score_of
from jaxrnn.text.windows import check_text
from jaxrnn.typing import AnyArray, Bool, Carry, Integer, Params


def dynamic_score(
    model: Layer,
    params: Params,
    ids: Integer[AnyArray, "n"],
    mask: Bool[AnyArray, "n"] | None = None,
    *,
    learning_rate: float,
    decay: float = 0.0,
    num_steps: int = 20,
    mean_squares: Params | None = None,
    epsilon: float = 2e-4,
) -> Score:
    """Return the probability of a text under a model that learns from it while it reads.

    The text is read in segments of `num_steps` tokens.  Each is scored with the parameters that the
    segments before it left behind, and then changes them: no token is scored by parameters that
    have seen it.  With g the gradient of the segment's mean cross-entropy and p0 the parameters
    that were given, all of them change by stochastic gradient descent,

        p += -learning_rate * g + decay * (p0 - p)

    or, where `mean_squares` say how large gradients are in the training text, by the RMS rule, with
    r = sqrt(mean_squares) and mean(r) its mean over all parameters (the paper's code has the mean
    of the means of its arrays, which another decay makes up for):

        p += -learning_rate * g / (r + epsilon) + min(decay * r / mean(r), 1) * (p0 - p)

    The carry passes from segment to segment; its gradient does not.  A segment after which the
    parameters would not be finite leaves them as they were.

    Args:
        model: a causal language model.
        params: its parameters, which are not changed themselves.
        ids: a text of at least two tokens.
        mask: True for tokens to score and to learn from; None means all.  The model reads the
            others, too.  The first token is never scored.
        learning_rate: the step size, best found on a validation text; 0 gives `score`.
        decay: how far each step returns towards the given parameters, in 0..1.
        num_steps: tokens per segment.
        mean_squares: the result of `mean_squared_gradients`, for the RMS rule.
        epsilon: what the RMS rule adds to r, above 0, so that parameters that hardly had a gradient
            in the training text do not take large steps.

    Raises:
        TypeError: an argument is of the wrong type, or `mean_squares` is not a tree like `params`.
        ValueError: there are fewer than two ids, a number is out of range, or the model is not
            causal or not time-major.

    Reference:
        Krause, Kahembwe, Murray and Renals, Dynamic evaluation of neural sequence models, 2018,
        arXiv:1709.07432, section 4.

    Examples:
        >>> import jax, jaxrnn, numpy as np
        >>> from jaxrnn.scoring import dynamic_score
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params, ids = model.init(jax.random.key(0), 28), np.arange(60) % 3
        >>> learning = dynamic_score(model, params, ids, learning_rate=1.0, num_steps=5)
        >>> bool(learning.perplexity < 0.5 * jaxrnn.score(model, params, ids).perplexity)
        True

        By the RMS rule, and with a smaller learning rate, because its steps do not shrink where
        gradients are small:

        >>> from jaxrnn.scoring import mean_squared_gradients
        >>> squares = mean_squared_gradients(model, params, ids, batch_size=2, num_steps=5)
        >>> by_rms = dynamic_score(
        ...     model, params, ids, learning_rate=0.01, num_steps=5, mean_squares=squares
        ... )
        >>> bool(by_rms.perplexity < 0.5 * jaxrnn.score(model, params, ids).perplexity)
        True
    """
    check_scorer(model)
    check_text(ids)
    if ids.shape[0] < 2:
        raise ValueError(f"ids must hold at least 2 tokens, got {ids.shape[0]}")
    ids = widen_ids("ids", ids, model.output_size(0))
    mask = np.ones(ids.shape, bool) if mask is None else mask
    check_mask("mask", mask, ids.shape)
    check_positive_integer("num_steps", num_steps)
    check_number("learning_rate", learning_rate, low=0.0, high=FLOAT32_MAX)
    check_number("decay", decay, low=0.0, high=1.0)
    check_number("epsilon", epsilon, low=0.0, high=FLOAT32_MAX)
    if epsilon == 0:  # 0 / 0 for parameters that never had a gradient
        raise ValueError("epsilon must be above 0, got 0")
    if mean_squares is not None:
        _check_mean_squares(mean_squares, params)
    # As Python's floats they are traced, so that a search over them compiles once, and take the
    # precision of the parameters.
    rates = float(learning_rate), float(decay), float(epsilon)
    return _score(
        model, num_steps, params, mean_squares, jnp.asarray(ids), jnp.asarray(mask), rates
    )


def _check_mean_squares(mean_squares: Any, params: Params) -> None:
    check_like("mean_squares", mean_squares, params)
    leaves = jax.tree.leaves_with_path(mean_squares)
    if not all(is_concrete(leaf) for _, leaf in leaves):
        return
    for path, leaf in leaves:
        values = np.asarray(leaf)
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        if wrong.size:
            field = f"mean_squares{jax.tree_util.keystr(path)}"
            raise ValueError(f"{field} must be finite and at least 0, got {wrong[0]}")
    if not any(np.any(np.asarray(leaf)) for _, leaf in leaves):
        raise ValueError(
            "mean_squares must not be 0 everywhere: the RMS rule divides by their mean"
        )


@functools.partial(jax.jit, static_argnames=("model", "num_steps"))
def _score(
    model: Layer,
    num_steps: int,
    params: Params,
    mean_squares: Params | None,
    ids: Any,
    mask: Any,
    rates: tuple[Any, Any, Any],
) -> Score:
    update = _make_update(params, mean_squares, *rates)

    def score_and_learn(state: tuple[Params, Carry], segment: Any) -> tuple[Any, Any]:
        learned, carry = state
        grads, of_tokens, carry = segment_gradient(model, learned, carry, *segment)
        return (update(learned, grads), carry), of_tokens

    text = ids[:-1], ids[1:], mask[1:]
    in_segments = len(text[0]) // num_steps * num_steps
    learned, carry, scored = params, model.initial_carry(params, 1), []
    if in_segments:  # under JAX_DISABLE_JIT a scan needs at least one step
        segments = tuple(array[:in_segments].reshape(-1, num_steps) for array in text)
        (learned, carry), of_segments = lax.scan(score_and_learn, (learned, carry), segments)
        scored.append(of_segments.reshape(-1))
    if in_segments < len(text[0]):  # nothing is left to learn for
        inputs, targets = (array[in_segments:, None] for array in text[:2])
        of_remainder, _ = log_probabilities(model, learned, carry, inputs, targets)
        scored.append(of_remainder[:, 0])
    return score_of(jnp.concatenate(scored), mask[1:])


def _make_update(
    given: Params, mean_squares: Params | None, learning_rate: Any, decay: Any, epsilon: Any
) -> Callable[[Params, Params], Params]:
    """Return the rule of `dynamic_score`: (parameters, gradient) -> parameters."""
    if mean_squares is None:
        step_sizes = jax.tree.map(lambda _: learning_rate, given)
        decays = jax.tree.map(lambda _: decay, given)
    else:
        roots = jax.tree.map(jnp.sqrt, mean_squares)
        leaves = jax.tree.leaves(roots)
        mean = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
        step_sizes = jax.tree.map(lambda root: learning_rate / (root + epsilon), roots)
        decays = jax.tree.map(lambda root: jnp.minimum(decay * root / mean, 1.0), roots)

    def move(param: Any, grad: Any, step_size: Any, decay: Any, given: Any) -> Any:
        return param - step_size * grad + decay * (given - param)

    def update(params: Params, grads: Params) -> Params:
        moved = jax.tree.map(move, params, grads, step_sizes, decays, given)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(moved)]).all()
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, params)

    return update
