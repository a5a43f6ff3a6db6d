"""Linear interpolation: the mixture of two models that predicts a text better than either.

A network and a counting model err on different tokens, so a weighted mean of their probabilities
often has a lower perplexity than the better of the two.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_array, check_number, check_shape
from jaxrnn.typing import AnyArray, Float, HostArray

HALVINGS = 50
"""Steps of the bisection: they find a weight to 2**-50, about 1e-15."""

LARGEST = 1e-6
"""The most that rounding may lift the logarithm of a probability; no probability is above 1."""


def fit_mixture(first: Float[AnyArray, "t"], second: Float[AnyArray, "t"]) -> float:
    """Return the weight of the first of two models in the mixture that predicts a text best.

    The mixture gives each token the probability `weight * p1 + (1 - weight) * p2`.  Its perplexity
    has a single minimum over the weight, which bisection finds.  A weight has to be fitted to a
    validation text: one fitted to the text that it is reported on has seen the answers.

    Args:
        first: the log-probability, in nats, that the first model gives to each token of a
            validation text; -inf for probability 0.  Leave out tokens that are not to be scored.
        second: those of the second model, for the same tokens.

    Returns:
        The weight of the first model, in 0..1; 0 if the models are the same.

    Raises:
        TypeError: an argument is not an array of floats.
        ValueError: there are no tokens, the shapes differ, a number is not a log-probability, or a
            token has probability 0 under both models, so that no weight can help.

    Reference:
        Jelinek and Mercer, Interpolated estimation of Markov source parameters from sparse data,
        1980.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.scoring import fit_mixture
        >>> first, second = np.log([0.9, 0.9, 0.9, 0.1]), np.log([0.1, 0.1, 0.1, 0.9])
        >>> round(fit_mixture(first, second), 6)
        0.8125
    """
    of_first, of_second = _check("first", first), _check("second", second)
    check_shape("second", of_second.shape, of_first.shape, "[t]")
    if of_first.size == 0:
        raise ValueError("first must hold at least one token, got none")
    if (impossible := np.flatnonzero((of_first == -np.inf) & (of_second == -np.inf))).size:
        raise ValueError(
            "first and second must not both be -inf: no mixture can predict token"
            f" {impossible[0]}, which has probability 0 under both models"
        )
    log_ratio = of_first - of_second
    if _slope(log_ratio, 0.0) <= 0:
        return 0.0
    if _slope(log_ratio, 1.0) >= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(log_ratio, middle) > 0 else (low, middle)
    return (low + high) / 2


def mix(
    first: Float[AnyArray, "t"], second: Float[AnyArray, "t"], weight: float
) -> Float[HostArray, "t"]:
    """Return the log-probabilities of a text under a mixture of two models.

    Args:
        first: the log-probability, in nats, that the first model gives to each token.
        second: those of the second model, for the same tokens.
        weight: the weight of the first model, in 0..1, as `fit_mixture` returns it.

    Returns:
        log(weight * exp(first) + (1 - weight) * exp(second)), in nats, as float64.  The mixture's
        perplexity is `exp` of minus its mean.

    Raises:
        TypeError: an argument is not an array of floats, or the weight is not a number.
        ValueError: the shapes differ, a number is not a log-probability, or the weight is not in
            0..1.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.scoring import mix
        >>> np.exp(mix(np.log([0.5, 0.25]), np.log([0.25, 0.75]), 0.5)).round(6).tolist()
        [0.375, 0.5]
    """
    of_first, of_second = _check("first", first), _check("second", second)
    check_shape("second", of_second.shape, of_first.shape, "[t]")
    check_number("weight", weight, low=0.0, high=1.0)
    with np.errstate(divide="ignore"):  # a weight of 0 has the logarithm -inf, which is right
        log_weight, log_rest = np.log(weight), np.log1p(-weight)
    return np.logaddexp(log_weight + of_first, log_rest + of_second)


def _slope(log_ratio: np.ndarray, weight: float) -> float:
    """Return the derivative of a text's log-probability with respect to the weight of the first.

    Each token adds (p1 - p2) / (weight * p1 + (1 - weight) * p2), of which only the ratio of p1 to
    p2 matters.  It is written with the smaller over the larger, which cannot overflow.
    """
    smaller_over_larger = np.exp(-np.abs(log_ratio))
    first_is_larger = log_ratio > 0
    of_larger = np.where(first_is_larger, weight, 1 - weight)
    gain = 1 - smaller_over_larger
    with np.errstate(divide="ignore"):  # infinite if the only model with a weight gives 0
        slopes = gain / (of_larger + (1 - of_larger) * smaller_over_larger)
    return float(np.where(first_is_larger, slopes, -slopes).sum())


def _check(name: str, log_probabilities: Any) -> np.ndarray:
    """Return log-probabilities in float64, which resolves weights that float32 does not."""
    check_array(name, log_probabilities)
    if not jnp.issubdtype(log_probabilities.dtype, jnp.floating):  # NumPy's misses bfloat16
        raise TypeError(f"{name} must be floats, got {log_probabilities.dtype}")
    if log_probabilities.ndim != 1:
        raise ValueError(
            f"{name} must be [t], one log-probability per token, got shape"
            f" {log_probabilities.shape}"
        )
    values = np.asarray(log_probabilities, np.float64)
    wrong = values[~(values <= LARGEST)]
    if wrong.size:
        raise ValueError(f"{name} must be logarithms of probabilities, at most 0, got {wrong[0]}")
    return values
