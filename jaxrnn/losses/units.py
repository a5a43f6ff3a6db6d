"""Units of a mean cross-entropy."""

import math


def perplexity(nats_per_token: float) -> float:
    """Return exp(mean cross-entropy): 1 for a perfect model, V for a uniform one.

    It is infinite for a model that gave probability 0 to a true token.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.losses.perplexity(0.0), jaxrnn.losses.perplexity(float("inf"))
        (1.0, inf)
    """
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def bits_per_character(nats_per_token: float) -> float:
    """Convert a mean cross-entropy from nats to bits.

    Examples:
        >>> import math, jaxrnn
        >>> round(jaxrnn.losses.bits_per_character(math.log(8)), 3)
        3.0
    """
    return nats_per_token / math.log(2)
