"""How often the gates of a layer are nearly open or nearly closed."""

from typing import NamedTuple

import numpy as np

from jaxrnn.checks import check_number
from jaxrnn.probes.gates import RANGES
from jaxrnn.probes.trace import LayerTrace
from jaxrnn.typing import Float, HostArray


class Saturation(NamedTuple):
    """How often each unit of a gate is saturated, as fractions of all valid steps."""

    low: Float[HostArray, "H"]
    """Where the gate is near the lower end of its function's range: closed."""
    high: Float[HostArray, "H"]
    """Where it is near the upper end: open."""


def saturation(layer: LayerTrace, *, margin: float = 0.1) -> dict[str, Saturation]:
    """Return how often the units of each gate are saturated.

    A forget gate that is always open is a perfect integrator; one that is always closed has no
    memory.

    Args:
        layer: a layer of a `trace`.
        margin: the part of the function's range, at either end, that counts as saturated: with 0.1,
            below 0.1 and above 0.9 for a sigmoid, below -0.8 and above 0.8 for a tanh.

    Returns:
        The fractions for each gate whose function has two ends.

    Raises:
        TypeError: the margin is not a number.
        ValueError: it is not in 0..0.5.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8), forget_gate_bias=9.0)
        >>> params = layer.init(jax.random.key(0), 3)
        >>> (seen,) = probes.trace(layer, params, jax.numpy.ones((5, 2, 3))).layers
        >>> probes.saturation(seen)["forget"].high.min().item()
        1.0

    Reference:
        Karpathy, Johnson and Li, Visualizing and understanding recurrent networks, 2015,
        arXiv:1506.02078, section 4.1.
    """
    check_number("margin", margin, low=0.0, high=0.5)
    valid = np.asarray(True) if layer.valid is None else np.asarray(layer.valid)
    valid = np.broadcast_to(valid, layer.carries.hidden.shape[:2])
    found = {}
    for name, gate in layer.gates.items():
        if gate.function in RANGES:
            low, high = RANGES[gate.function]
            share = (np.asarray(gate.value)[valid] - low) / (high - low)
            below, above = (share < margin).mean(axis=0), (share > 1 - margin).mean(axis=0)
            found[name] = Saturation(below, above)
    return found
