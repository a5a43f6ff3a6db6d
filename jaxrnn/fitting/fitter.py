"""Training on arrays and ragged lists in one call."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn.fitting.epochs import run_epochs
from jaxrnn.fitting.history import History
from jaxrnn.fitting.report import reported
from jaxrnn.fitting.setup import Fitting
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss, cross_entropy
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import AnyArray, Integer, Key, Params


def fit(
    model: Layer,
    optimizer: optax.GradientTransformation,
    inputs: Any,
    targets: Any,
    *,
    lengths: Integer[AnyArray, "N"] | None = None,
    mask: Any = None,
    loss: Loss = cross_entropy,
    batch_size: int = 32,
    epochs: int = 10,
    validation: tuple[Any, ...] | None = None,
    metrics: Sequence[Loss] = (),
    patience: int | None = None,
    params: Params | None = None,
    input_size: int | None = None,
    devices: int = 1,
    progress: bool = True,
    key: Key,
) -> tuple[TrainState, History]:
    """Train a model on sequences and their targets.

    Each epoch takes all sequences once, in an order drawn from the key, in batches of sequences of
    similar length; batches of equal length share a compiled program, and there are at most eight.
    Every sequence starts from the initial carry.  Nothing is written to disk: see
    `jaxrnn.runs.fit` for checkpoints, and `jaxrnn.train` for long texts.

    Args:
        model: any Layer, such as `classifier(recurrent(gru(64)), 10)`.
        optimizer: any of optax, such as `optax.adam(1e-3)`.
        inputs: vectors `[T, N, D]`, token ids `[T, N]`, or a list of N sequences `[n, D]` or `[n]`
            of unequal length.
        targets: one per sequence, `[N]` or `[N, F]`, or one per step, `[T, N]`, `[T, N, F]` or a
            list like the inputs: classes for cross-entropies, numbers for other losses.
        lengths: the valid steps of each sequence in an array, in `0..T`; None means all.
        mask: which targets count, bool `[N]`, `[T, N]` or a list like the inputs; None means all.
        loss: (outputs, batch) -> (sum, weight), such as those of `jaxrnn.losses`.
        batch_size: B; the last batch of an epoch may have fewer sequences.
        epochs: passes over the data.
        validation: (inputs, targets), or (inputs, targets, lengths), which are evaluated after each
            epoch.  The parameters with the least loss on them are those that are returned.
        metrics: more functions of the loss's form to report after each epoch, such as
            `jaxrnn.losses.accuracy`: on the validation data, or without any on those for training.
        patience: stop after so many epochs without a smaller validation loss; None never stops.
        params: parameters to begin with; None draws them.
        input_size: V, for token ids only: they are below V.
        devices: how many devices share the rows of each batch; the numbers are those of one.
        progress: whether to show it, as a bar in a terminal where tqdm is installed, else in lines.
        key: for the first parameters, the order of the sequences, and dropout.

    Returns:
        (the state after the last epoch, with the best parameters if there are validation data; the
        numbers of each epoch)

    Raises:
        NonFiniteError: ten steps in a row were skipped, because something was not finite.
        TypeError, ValueError: an argument is wrong; the message says which, and what was expected.

    Examples:
        >>> import jax, jaxrnn, numpy as np, optax
        >>> rng = np.random.default_rng(0)
        >>> walks = [rng.normal(size=(n, 1)).cumsum(axis=0) for n in rng.integers(5, 20, 64)]
        >>> ends_high = [int(walk[-1, 0] > 0) for walk in walks]
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=2)
        >>> optimizer, key = optax.adam(0.01), jax.random.key(0)
        >>> state, history = jaxrnn.fit(
        ...     model, optimizer, walks, ends_high, epochs=20, progress=False, key=key
        ... )
        >>> history.rows[-1]["loss"] < history.rows[0]["loss"]
        True
        >>> jaxrnn.predict(model, state.params, walks).shape
        (64, 2)
    """
    fitting = Fitting.of(
        model, optimizer, inputs, targets, lengths=lengths, mask=mask, loss=loss,
        batch_size=batch_size, epochs=epochs, validation=validation, metrics=metrics,
        patience=patience, input_size=input_size, devices=devices, key=key,
    )  # fmt: skip
    best = None
    with reported(epochs, enabled=progress) as show:
        for state, history in run_epochs(fitting, fitting.init_state(params), History()):
            show(history.rows[-1])
            if history.best_epoch == len(history.rows):
                best = jax.tree.map(jnp.copy, state.params)  # training reuses the buffers
    return state if best is None else state.replace(params=best), history
