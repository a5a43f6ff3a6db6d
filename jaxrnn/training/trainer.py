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

from jaxrnn.layers import Layer
from jaxrnn.text import Batch
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.text.windows import check_text
from jaxrnn.training.config import TrainConfig
from jaxrnn.training.feed import Text, chunks, prefetch_one
from jaxrnn.training.losses import perplexity
from jaxrnn.training.parallel import Program, make_placement
from jaxrnn.training.processes import max_over_processes, wait_for_all
from jaxrnn.training.train_step import (
    CAUSES,
    Metrics,
    TrainState,
    TrainStep,
    make_train_step,
)
from jaxrnn.typing import HostArray, Integer

SECONDS_PER_CALL = 0.5
"""About how long one compiled call may take: what Ctrl-C and the progress bar have to wait for."""


class NonFiniteError(ValueError):
    """Something was not finite, batch after batch: the message says what."""


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
    """Time spent in training steps since the beginning, and waiting for batches; no compilation."""
    total_tokens: int = 0
    """Tokens trained on since the beginning."""
    skipped: int = 0
    """Steps that were skipped since the beginning, because something was not finite."""
    skipped_in_row: int = 0
    """Those of them that were the last."""

    @property
    def finished_epochs(self) -> int:
        """Epochs that are complete."""
        return self.epoch + (0 < self.num_batches == self.batch)

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy of the epoch under way."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Training perplexity of the epoch under way."""
        return perplexity(self.nats_per_token)

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on per second since the beginning."""
        return self.total_tokens / max(self.seconds, 1e-9)


def train(
    model: Layer,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    ids: Integer[HostArray, "n"],
    state: TrainState,
    progress: Progress = Progress(),
) -> Iterator[tuple[TrainState, Progress]]:
    """Train, and hand out the state after every compiled call.

    One call runs many steps, half a second's worth, so Python is out of the way.  How many makes no
    difference to the numbers: the loop is one program whatever its bounds.  The batches of the next
    calls are cut out of the text and copied to the devices meanwhile.

    Args:
        model: a language model.
        optimizer: any of optax; `config.make_optimizer()` is the one that the configuration names.
        config: how to cut the text into batches, how often to go through it, and on how many
            devices.  Where a run has several processes, each calls this with the same arguments.
        ids: the text; of one larger than memory, an array that `np.load(..., mmap_mode="r")` maps.
        state: of `init_state`, or out of a checkpoint.  Its buffers are given away to the call: do
            not use it, nor an earlier state that came out, afterwards.  What comes out is on all
            devices, the rows of the carry apart.
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
    plans, placement = config.plans(len(ids)), make_placement(config)
    progress = _check_progress(config, plans, progress)
    step = make_train_step(model, optimizer, placement.axis_name, config.accumulate)
    text = Text(ids, model.output_size(0))
    feed = chunks(text, plans, placement, (progress.epoch, progress.batch), config.epochs)
    state, run_steps = placement.put_state(state), None
    for chunk in prefetch_one(feed):
        if run_steps is None:
            run_steps = placement.compile(
                _make_run_steps(config, step),
                state,
                chunk.tokens,
                chunk.starts,
                StepRange.of(0, 0, 0),
            )
            wait_for_all("the program is compiled")
            seconds_per_step = SECONDS_PER_CALL  # not known yet: the first call is of one step
            began = time.perf_counter()
        if chunk.epoch != progress.epoch or progress.num_batches == 0:
            progress = progress._replace(epoch=chunk.epoch, batch=0, nats=0.0, tokens=0)
            progress = progress._replace(num_batches=chunk.num_batches)
        while progress.batch < chunk.last:
            first = progress.batch - chunk.first
            (num_steps,) = max_over_processes(max(1, int(SECONDS_PER_CALL / seconds_per_step)))
            last = min(chunk.last - chunk.first, first + num_steps)
            todo = StepRange.of(first, last, progress.skipped_in_row)
            state, todo, each = run_steps(state, chunk.tokens, chunk.starts, todo)
            done = int(todo.first)  # waits for the devices
            seconds = time.perf_counter() - began
            seconds_per_step = seconds / (done - first)
            progress = _advance(progress, first, todo, each, seconds)
            yield state, progress
            began = time.perf_counter()  # waiting for batches counts, what the caller does not
            if progress.skipped_in_row >= config.max_skipped:
                cause = CAUSES[int(np.asarray(each.cause)[done - 1])]
                raise NonFiniteError(
                    f"{cause} was not finite in {progress.skipped_in_row} batches in a row, up to"
                    f" batch {progress.batch} of epoch {progress.epoch + 1}"
                )


def _check_progress(config: TrainConfig, plans: EpochPlans, progress: Progress) -> Progress:
    num_batches = len(plans.plan(progress.epoch))
    if progress.num_batches not in (0, num_batches) or progress.batch > num_batches:
        raise ValueError(f"progress must be of epochs of {num_batches} batches, got {progress}")
    if progress.skipped_in_row >= config.max_skipped:  # resumed after it stopped: try once more
        return progress._replace(skipped_in_row=0)
    return progress


class StepRange(NamedTuple):
    """The steps of a chunk that a compiled call is to take; what is left of them after it."""

    first: Any
    last: Any
    skipped_in_row: Any
    """Up to `first`."""

    @classmethod
    def of(cls, first: int, last: int, skipped_in_row: int) -> "StepRange":
        return cls(np.int32(first), np.int32(last), np.int32(skipped_in_row))


def _advance(
    progress: Progress, first: int, todo: StepRange, each: Metrics, seconds: float
) -> Progress:
    """The progress after a call, from what is left of its steps and the metrics of the chunk."""
    done = int(todo.first)
    steps = slice(first, done)
    nats, tokens = np.asarray(each.nats)[steps].tolist(), int(np.asarray(each.tokens)[steps].sum())
    return progress._replace(
        batch=progress.batch + done - first,
        # Number by number, as `sum` would not: the cut into calls must not show.
        nats=functools.reduce(operator.add, nats, progress.nats),
        tokens=progress.tokens + tokens,
        seconds=progress.seconds + seconds,
        total_tokens=progress.total_tokens + tokens,
        skipped=progress.skipped + int(np.asarray(each.skipped)[steps].sum()),
        skipped_in_row=int(todo.skipped_in_row),
    )


def _make_run_steps(config: TrainConfig, train_step: TrainStep) -> Program:
    """The steps of a chunk, one after the other."""

    def run_steps(state: TrainState, tokens: Any, starts: Any, todo: StepRange) -> Any:
        def goes_on(so_far: Any) -> Any:
            _, todo, _ = so_far
            return (todo.first < todo.last) & (todo.skipped_in_row < config.max_skipped)

        def one_step(so_far: Any) -> Any:
            state, todo, rows = so_far
            step = todo.first
            batch = Batch(tokens[step, :-1], tokens[step, 1:], None, starts[step])
            state, metrics = train_step(state, batch)
            in_row = jnp.where(metrics.skipped, todo.skipped_in_row + 1, 0)
            rows = jax.tree.map(
                lambda row, new: row.at[step].set(new.astype(row.dtype)), rows, metrics
            )
            return state, StepRange(step + 1, todo.last, in_row), rows

        floats, whole = jnp.zeros(len(starts)), jnp.zeros(len(starts), jnp.int32)
        rows = Metrics(floats, whole, floats, skipped=whole > 0, cause=whole)
        return lax.while_loop(goes_on, one_step, (state, todo, rows))

    return run_steps
