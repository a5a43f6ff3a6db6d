"""Probes: what happens inside a network while it reads a sequence.

`trace` runs a model and returns the carries and gates of all its recurrent layers (`trace.py`;
`observed.py` has the layers take notes, and `gates.py` finds the gates in a cell's equations).
`saturation.py` counts how often gates are open or closed, and `gradient_flow.py` follows a gradient
back through time.  `fixed_points.py` and `lyapunov.py` treat a layer as a dynamical system, that of
`one_row.py`.  `units.py` says what single units, or all of them together, know about a text, given
the targets of `text_features.py`.  `pictures.py` draws all of this.

Examples:
    >>> import jax, jaxrnn
    >>> from jaxrnn import probes
    >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
    >>> params = layer.init(jax.random.key(0), 3)
    >>> (seen,) = probes.trace(layer, params, jax.numpy.ones((5, 2, 3))).layers
    >>> sorted(seen.gates)
    ['candidate', 'forget', 'input', 'output']
    >>> seen.gates["forget"].value.shape, seen.carries.memory.shape
    ((5, 2, 8), (5, 2, 8))
"""

from jaxrnn.probes.fixed_points import FixedPoints, fixed_points
from jaxrnn.probes.gates import Gate
from jaxrnn.probes.gradient_flow import gradient_flow, gradient_norms
from jaxrnn.probes.lyapunov import lyapunov_exponents
from jaxrnn.probes.pictures import (
    plot_activity,
    plot_gradient_norms,
    plot_saturation,
    plot_spectrum,
    plot_text,
)
from jaxrnn.probes.saturation import Saturation, saturation
from jaxrnn.probes.text_features import text_features
from jaxrnn.probes.trace import LayerTrace, Trace, trace
from jaxrnn.probes.units import LinearProbe, correlations, linear_probe

__all__ = [  # noqa: RUF022, sorted by topic
    # carries and gates
    "trace",
    "Trace",
    "LayerTrace",
    "Gate",
    "saturation",
    "Saturation",
    # gradients
    "gradient_flow",
    "gradient_norms",
    # dynamics
    "fixed_points",
    "FixedPoints",
    "lyapunov_exponents",
    # units
    "text_features",
    "correlations",
    "linear_probe",
    "LinearProbe",
    # pictures
    "plot_activity",
    "plot_saturation",
    "plot_gradient_norms",
    "plot_spectrum",
    "plot_text",
]
