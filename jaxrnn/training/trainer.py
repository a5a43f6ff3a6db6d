"""Training over many epochs: the compiled call that runs many steps, and the loop around it."""

import functools
import math
import operator
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxrnn.checks import check_ids
from jaxrnn.layers import Layer
from jaxrnn.text import Batch, WindowPlan, gather_windows
from jaxrnn.text.windows import check_text
from jaxrnn.training.config import TrainConfig, most_batches, pad, plan_epoch
from jaxrnn.training.train_step import Metrics, TrainState, TrainStep, make_train_step
from jaxrnn.typing import HostArray, Int

SECONDS_PER_CALL = 0.5
"""About how long one compiled call may take: what Ctrl-C and the progress bar have to wait for."""


class NonFiniteError(ValueError):
    """Loss or gradient was not finite, batch after batch."""


class Progress(NamedTuple):
    """How far a training is: plain numbers, saved with every checkpoint."""

    epoch: int = 0
    """The epoch under way, counted from 0; after its last batch, the one just finished."""
    batch: int = 0
    """Batches done of that epoch."""
    num_batches: int = 0
    """Batches that it has."""
    nats: float = 0.0
    """Cross-entropy summed over the tokens of that epoch so far."""
    tokens: int = 0
    """Those tokens."""
    seconds: float = 0.0
    """Time spent in training steps since the beginning, without compilation."""
    total_tokens: int = 0
    """Tokens trained on since the beginning."""
    skipped: int = 0
    """Steps that were skipped since the beginning, because loss or gradient was not finite."""
    skipped_in_row: int = 0
    """Those of them that were the last."""

    @property
    def finished_epochs(self) -> int:
        """Epochs that are complete."""
        return self.epoch + (0 < self.num_batches == self.batch)

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy of the epoch under way; its exponential is the perplexity."""
        return self.nats / self.tokens if self.tokens else math.nan


def train(
    model: Layer,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    ids: Int[HostArray, "n"],
    state: TrainState,
    progress: Progress = Progress(),
) -> Iterator[tuple[TrainState, Progress]]:
    """Train, and hand out the state after every compiled call.

    The text lies on the device and one call runs many steps, half a second's worth, so Python is
    out of the way.  How many makes no difference to the numbers: the loop is one program whatever
    its bounds.

    Args:
        model: a language model.
        optimizer: any of optax; `config.make_optimizer()` is the one that the configuration names.
        config: how to cut the text into batches, and how often to go through it.
        ids: the text.
        state: of `init_state`, or out of a checkpoint.  Its buffers are given away to the call: do
            not use it, nor an earlier state that came out, afterwards.
        progress: out of the same checkpoint.

    Yields:
        (state, progress), at the least at the end of each epoch.

    Raises:
        NonFiniteError: `config.max_skipped` steps in a row were skipped; parameters, optimizer
            state and carry of the state handed out last are as they were before the first of them.
        TypeError: the ids are not integers.
        ValueError: the text is too short for one batch, an id is out of range, or the state is of
            another batch size.
    """
    check_text(ids)
    check_ids("ids", ids, model.output_size(0))
    config.check_text_length(len(ids))
    text = jnp.asarray(ids)
    run_steps = _compile(config, make_train_step(model, optimizer), state, text)
    seconds_per_step = SECONDS_PER_CALL  # until the first call has told
    if progress.skipped_in_row >= config.max_skipped:  # resumed after it stopped: try once more
        progress = progress._replace(skipped_in_row=0)
    for epoch in range(progress.epoch, config.epochs):
        plan = plan_epoch(config, len(ids), epoch)
        num_batches = len(plan.offsets)
        if epoch != progress.epoch or progress.num_batches == 0:
            progress = progress._replace(epoch=epoch, batch=0, nats=0.0, tokens=0)
            progress = progress._replace(num_batches=num_batches)
        if progress.num_batches != num_batches or progress.batch > num_batches:
            raise ValueError(f"progress must be of epochs of {num_batches} batches, got {progress}")
        padded = pad(plan, most_batches(config, len(ids)))
        while progress.batch < num_batches:
            first = progress.batch
            last = min(num_batches, first + max(1, int(SECONDS_PER_CALL / seconds_per_step)))
            began = time.perf_counter()
            span = Span(np.int32(first), np.int32(last), np.int32(progress.skipped_in_row))
            state, span, each = run_steps(state, text, padded, span)
            done = int(span.first)  # waits for the device
            seconds = time.perf_counter() - began
            seconds_per_step = seconds / (done - first)
            progress = _after(progress, span, each, seconds)
            yield state, progress
            if progress.skipped_in_row >= config.max_skipped:
                raise NonFiniteError(
                    f"loss or gradient was not finite in {progress.skipped_in_row} batches in a"
                    f" row, up to batch {progress.batch} of epoch {epoch + 1}"
                )


class Span(NamedTuple):
    """The steps of an epoch that a compiled call is to take; what is left of them after it."""

    first: Any
    last: Any
    skipped_in_row: Any
    """Up to `first`."""


def _after(progress: Progress, span: Span, each: Metrics, seconds: float) -> Progress:
    """The progress after a call, from what is left of its span and the metrics of the epoch."""
    done = int(span.first)
    steps = slice(progress.batch, done)
    nats, tokens = np.asarray(each.nats)[steps].tolist(), int(np.asarray(each.tokens)[steps].sum())
    return progress._replace(
        batch=done,
        # Number by number, as `sum` would not: the cut into calls must not show.
        nats=functools.reduce(operator.add, nats, progress.nats),
        tokens=progress.tokens + tokens,
        seconds=progress.seconds + seconds,
        total_tokens=progress.total_tokens + tokens,
        skipped=progress.skipped + int(np.asarray(each.skipped)[steps].sum()),
        skipped_in_row=int(span.skipped_in_row),
    )


def _compile(config: TrainConfig, train_step: TrainStep, state: TrainState, text: Any) -> Any:
    """The program (state, text, plan, span) -> (state, span, metrics [N])."""
    num_batches = most_batches(config, len(text))

    def run_steps(state: TrainState, text: Any, plan: WindowPlan, span: Span) -> Any:
        def goes_on(so_far: Any) -> Any:
            _, span, _ = so_far
            return (span.first < span.last) & (span.skipped_in_row < config.max_skipped)

        def one_step(so_far: Any) -> Any:
            state, span, rows = so_far
            step = span.first
            inputs, targets = gather_windows(text, plan.offsets[step], config.num_steps)
            state, metrics = train_step(state, Batch(inputs, targets, None, plan.starts[step]))
            in_row = jnp.where(metrics.skipped, span.skipped_in_row + 1, 0)
            rows = jax.tree.map(lambda row, new: row.at[step].set(new), rows, metrics)
            return state, Span(step + 1, span.last, in_row), rows

        floats, whole = jnp.zeros(num_batches), jnp.zeros(num_batches, jnp.int32)
        rows = Metrics(nats=floats, tokens=whole, grad_norm=floats, skipped=whole > 0)
        return lax.while_loop(goes_on, one_step, (state, span, rows))

    plan = pad(plan_epoch(config, len(text), 0), num_batches)
    span = Span(np.int32(0), np.int32(1), np.int32(0))
    return jax.jit(run_steps, donate_argnums=0).lower(state, text, plan, span).compile()
