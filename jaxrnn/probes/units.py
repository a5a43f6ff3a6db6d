"""Correlations and linear probes: how units of a layer tell a series of targets."""

from typing import NamedTuple

import numpy as np

from jaxrnn.checks import check_array, check_number, check_shape
from jaxrnn.typing import AnyArray, Float, HostArray


def correlations(
    states: Float[AnyArray, "T H"], targets: Float[AnyArray, "T"]
) -> Float[HostArray, "H"]:
    """Return the correlation of each unit with a series of targets, in -1..1.

    A unit with a correlation near 1 or -1 tells the target by itself.  Units or targets that never
    change give 0.

    Args:
        states: the values of H units at T steps, such as `carries.memory[:, 0]` of a trace.
        targets: a number per step, such as one of the `text_features`.

    Returns:
        Pearson's correlation for each unit.

    Raises:
        ValueError: the shapes do not fit, or a value is not finite.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> states = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        >>> probes.correlations(states, np.array([5.0, 3.0, 1.0])).tolist()
        [-1.0, 0.0]
    """
    values, wanted = _checked(states, targets)
    change = (np.ptp(values, axis=0) > 0) & (np.ptp(wanted) > 0)  # a mean of equals is rounded
    values, wanted = values - values.mean(axis=0), wanted - wanted.mean()
    scale = np.sqrt(np.square(values).sum(axis=0) * np.square(wanted).sum())
    return np.divide(wanted @ values, scale, out=np.zeros_like(scale), where=change & (scale > 0))


class LinearProbe(NamedTuple):
    """A linear function of the units that predicts targets."""

    weights: Float[HostArray, "H"]
    """The weight of each unit."""
    bias: float
    """What is added."""
    r2: float
    """The share of the targets' variance that is explained at steps that were held out: 1 if all,
    0 or less if none; NaN if all those targets are equal."""


def linear_probe(
    states: Float[AnyArray, "T H"],
    targets: Float[AnyArray, "T"],
    *,
    ridge: float = 1.0,
    held_out: float = 0.2,
) -> LinearProbe:
    """Fit targets by a linear function of all units, and judge it at later steps.

    What a linear probe finds is there in the state in its simplest form, for whatever reads it;
    whether the network makes use of it is another question.

    Args:
        states: the values of H units at T steps.
        targets: a number per step.
        ridge: the penalty of squared weights, in units of one step's variance.
        held_out: the share of the steps, the last ones, that are not fitted but judged.

    Returns:
        The function, and how well it does at the steps that were held out.

    Raises:
        TypeError: a number has the wrong type.
        ValueError: the shapes do not fit, a value is not finite, a number is out of range, or there
            are too few steps.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> states = np.random.default_rng(0).normal(size=(500, 4))
        >>> probe = probes.linear_probe(states, states[:, 1] - states[:, 2])
        >>> probe.weights[1:3].round(1).tolist(), round(probe.r2, 3)
        ([1.0, -1.0], 1.0)

    Reference:
        Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016,
        arXiv:1610.01644.
    """
    check_number("ridge", ridge, low=0.0)
    check_number("held_out", held_out, low=0.0, high=1.0)
    values, wanted = _checked(states, targets)
    num_fitted = round(len(values) * (1 - held_out))
    if not 0 < num_fitted < len(values):
        raise ValueError(
            f"held_out must leave steps to fit and to judge, got {held_out} of {len(values)} steps"
        )
    fitted, mean = values[:num_fitted], values[:num_fitted].mean(axis=0)
    centre = wanted[:num_fitted].mean()
    scale = np.where(np.ptp(fitted, axis=0) > 0, fitted.std(axis=0), np.inf)
    units = (fitted - mean) / scale
    gram = units.T @ units + ridge * np.eye(units.shape[1])
    # By least squares, because without a penalty the units may depend on each other.
    weights = np.linalg.lstsq(gram, units.T @ (wanted[:num_fitted] - centre), rcond=None)[0] / scale
    bias = float(centre - mean @ weights)
    judged = wanted[num_fitted:]
    left = judged - values[num_fitted:] @ weights - bias
    variance = np.square(judged - judged.mean()).sum()  # by rounding not zero where all are equal
    varies = np.ptp(judged) > 0
    r2 = float(1 - np.square(left).sum() / variance) if varies else float("nan")
    return LinearProbe(weights, bias, r2)


def _checked(states: AnyArray, targets: AnyArray) -> tuple[HostArray, HostArray]:
    """Return both in float64."""
    for name, array in (("states", states), ("targets", targets)):
        check_array(name, array)
    if states.ndim != 2:
        raise ValueError(f"states must be [T, H], got shape {states.shape}")
    check_shape("targets", targets.shape, (len(states),), "[T]")
    values, wanted = np.asarray(states, float), np.asarray(targets, float)
    for name, array in (("states", values), ("targets", wanted)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
    return values, wanted
