"""A model's outputs, loss and metrics on a data set, batch by batch."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.batch import Batch
from jaxrnn.checks import check_positive_integer
from jaxrnn.fitting.data_checks import check_classes, check_ids
from jaxrnn.fitting.dataset import Dataset, make_dataset
from jaxrnn.fitting.plans import BatchPlan, batch_lengths, epoch_plan
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.losses import Loss, accuracy, cross_entropy
from jaxrnn.training.train_step import check_params
from jaxrnn.typing import AnyArray, Float, HostArray, Integer, Params


def predict(
    model: Layer,
    params: Params,
    inputs: Any,
    *,
    lengths: Integer[AnyArray, "N"] | None = None,
    batch_size: int = 256,
) -> Any:
    """Return a model's outputs for all sequences, in their order, computed batch by batch.

    Args:
        model: any Layer.
        params: its parameters.
        inputs: `[T, N, D]`, ids `[T, N]`, or a list of N sequences `[n, D]` or `[n]`.
        lengths: the valid steps of each sequence in an array; a list has its own.
        batch_size: how many sequences to run at a time.

    Returns:
        NumPy arrays: `[N, F]` if the model has one output per sequence; otherwise `[T, N, F]`, or
        for a list of sequences a list of arrays `[n, F]`.

    Raises:
        TypeError, ValueError: an argument is wrong, as for `fit`.

    Examples:
        >>> import jax, jaxrnn, numpy as np
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=2)
        >>> params = model.init(jax.random.key(0), 3)
        >>> jaxrnn.predict(model, params, [np.ones((5, 3)), np.ones((2, 3))]).shape
        (2, 2)
    """
    check_model("model", model)
    check_params(params)
    check_positive_integer("batch_size", batch_size)
    data = make_dataset(inputs, lengths=lengths, per_step=model.per_step)
    check_ids("inputs", data, getattr(model, "vocab_size", None))
    found: list[Any] = [None] * len(data)
    for plan, batch in _batches(data, batch_size):
        outputs = np.asarray(_outputs(model, params, batch))
        for column, row in enumerate(plan.rows):
            found[row] = outputs[:, column] if model.per_step else outputs[column]
    if not model.per_step:
        return np.stack(found)
    if isinstance(inputs, list | tuple):
        return [steps[:length] for steps, length in zip(found, data.lengths, strict=True)]
    return np.stack([_padded(steps, data.num_steps) for steps in found], axis=1)


def evaluate(
    model: Layer,
    params: Params,
    inputs: Any,
    targets: Any,
    *,
    lengths: Integer[AnyArray, "N"] | None = None,
    mask: Any = None,
    loss: Loss = cross_entropy,
    metrics: Sequence[Loss] = (),
    batch_size: int = 256,
) -> dict[str, float]:
    """Return the mean loss and metrics of a model on a data set, without dropout.

    Args:
        model: any Layer.
        params: its parameters.
        inputs, targets, lengths, mask: as for `fit`.
        loss: (outputs, batch) -> (sum, weight); the result is the sum over the weight of all data.
        metrics: functions of the same form, such as `jaxrnn.losses.accuracy`.
        batch_size: how many sequences to run at a time; it changes nothing but rounding.

    Returns:
        {"loss": ..., and each metric by its function's name}; NaN if no target counts

    Raises:
        TypeError, ValueError: an argument is wrong, as for `fit`.

    Examples:
        >>> import jax, jaxrnn, numpy as np
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=2)
        >>> params = model.init(jax.random.key(0), 3)
        >>> inputs, targets = np.ones((5, 4, 3)), [0, 1, 0, 1]
        >>> metrics = [jaxrnn.losses.accuracy]
        >>> jaxrnn.evaluate(model, params, inputs, targets, metrics=metrics)["accuracy"]
        0.5
    """
    check_model("model", model)
    check_params(params)
    check_positive_integer("batch_size", batch_size)
    functions = name_functions(loss, metrics)
    data = make_dataset(inputs, targets, lengths, mask, per_step=model.per_step)
    check_ids("inputs", data, getattr(model, "vocab_size", None))
    check_targets("targets", model, data, functions)
    return evaluate_data(model, params, data, functions, batch_size)


def evaluate_data(
    model: Layer, params: Params, data: Dataset, functions: dict[str, Loss], batch_size: int
) -> dict[str, float]:
    """Return the mean of each function over a data set; NaN if nothing counts."""
    sums = np.zeros((len(functions), 2))
    for _, batch in _batches(data, batch_size):
        sums += np.asarray(_sums(model, tuple(functions.values()), params, batch), np.float64)
    means = sums[:, 0] / np.where(sums[:, 1] == 0, np.nan, sums[:, 1])
    return dict(zip(functions, means.tolist(), strict=True))


def name_functions(loss: Loss, metrics: Sequence[Loss]) -> dict[str, Loss]:
    """Return the loss and the metrics by their names."""
    if callable(metrics) or isinstance(metrics, str):
        raise TypeError(
            f"metrics must be a list, such as [jaxrnn.losses.accuracy], got {metrics!r}"
        )
    functions = {"loss": loss}
    for name, function in [("loss", loss), *((None, metric) for metric in metrics)]:
        if not callable(function):
            raise TypeError(
                f"{'loss' if name else 'metrics'} must be functions (outputs, batch) -> (sum,"
                f" weight), got {function!r}"
            )
    for metric in metrics:
        kind = type(metric).__name__
        name = getattr(metric, "__name__", getattr(base_function(metric), "__name__", kind))
        if name in functions:
            raise ValueError(f"metrics must have different names, got two of {name}")
        functions[name] = metric
    return functions


def base_function(function: Any) -> Any:
    """Return the function inside `functools.partial` and the like."""
    while (inner := getattr(function, "__wrapped__", getattr(function, "func", None))) is not None:
        function = inner
    return function


def check_targets(name: str, model: Layer, data: Dataset, functions: dict[str, Loss]) -> None:
    """Raise unless the loss and the metrics can compare the model's outputs with the targets."""
    if not model.causal and not data.has_lengths and data.has_step_mask:
        raise ValueError(
            "a mask per step needs lengths for a model that is not causal: a mask only leaves"
            " targets out of the loss, and this model would still read the padding.  If nothing is"
            " padded, pass lengths=np.full(N, T)"
        )
    of_classes = [base_function(function) for function in (cross_entropy, accuracy)]
    if any(base_function(function) in of_classes for function in functions.values()):
        check_classes(name, data, model.output_size(data.width or 0))


@functools.partial(jax.jit, static_argnums=0)
def _outputs(model: Layer, params: Params, batch: Batch) -> Any:
    return model.apply(params, batch.inputs, lengths=batch.lengths)[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sums(model: Layer, functions: tuple[Loss, ...], params: Params, batch: Batch) -> Any:
    """Return (sum, weight) of each function."""
    outputs, _ = model.apply(params, batch.inputs, lengths=batch.lengths)
    pairs = [function(outputs, batch) for function in functions]
    return [[jnp.asarray(x, float) for x in pair] for pair in pairs]


def _batches(data: Dataset, batch_size: int) -> Iterator[tuple[BatchPlan, Batch]]:
    """Yield all sequences once, those of similar length together."""
    batch_size = min(batch_size, len(data))
    choices = batch_lengths(data.lengths, data.num_steps, batch_size)
    for plan in epoch_plan(data.lengths, choices, batch_size, None):
        yield plan, data.batch(plan.rows, batch_size, plan.num_steps)


def _padded(steps: HostArray, num_steps: int) -> Float[HostArray, "T F"]:
    return np.pad(steps, [(0, num_steps - len(steps)), (0, 0)])
