"""Training over many epochs: a compiled call that runs many steps, and the loop around it."""

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

from jaxrnn.batch import Batch
from jaxrnn.layers import Layer
from jaxrnn.losses import perplexity
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.text.windows import check_text
from jaxrnn.training.config import TrainConfig
from jaxrnn.training.feed import Text, chunks, prefetch_one
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

SECONDS_PER_CALL = 2.0
"""The approximate time of a compiled call, for which Ctrl-C and the progress bar have to wait.

Every call asks the system for its temporary memory anew.  With a single step of half a second in a
call, that takes a tenth of its time."""


class NonFiniteError(ValueError):
    """Something was not finite in many batches in a row; the message says what."""


class Progress(NamedTuple):
    """Training progress: plain numbers, saved with every checkpoint."""

    epoch: int = 0
    """The current epoch, counted from 0; after its last batch, the one just finished."""
    batch: int = 0
    """The number of batches done in this epoch."""
    num_batches: int = 0
    """The number of batches in this epoch."""
    nats: float = 0.0
    """Cross-entropy summed over the tokens of this epoch so far."""
    tokens: int = 0
    """The number of these tokens."""
    seconds: float = 0.0
    """Time in training steps and waiting for batches since the beginning, without compilation."""
    total_tokens: int = 0
    """Tokens trained on since the beginning."""
    skipped: int = 0
    """Steps skipped since the beginning because something was not finite."""
    skipped_in_row: int = 0
    """Length of the current run of skipped steps."""

    @property
    def finished_epochs(self) -> int:
        """The number of complete epochs."""
        return self.epoch + (0 < self.num_batches == self.batch)

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy of the current epoch."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Training perplexity of the current epoch."""
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
    """Train, and yield the state after every compiled call.

    A call runs two seconds' worth of steps, to keep its overhead small.  Their number does
    not affect the results: the loop is one program whatever its bounds.  Meanwhile the next batches
    are cut out of the text and copied to the devices.

    Args:
        model: a language model.
        optimizer: any of optax; `config.make_optimizer()` is the one that the configuration names.
        config: how to cut the text into batches, how often to go through it, and on how many
            devices.  If a run has several processes, each calls this with the same arguments.
        ids: the text; if it is larger than memory, mapped by `np.load(..., mmap_mode="r")`.
        state: from `init_state` or a checkpoint.  Its buffers are donated, as are those of each
            state that was yielded: use only the latest.  Yielded states are on all devices, with
            the rows of the carry split among them.
        progress: from the same checkpoint.

    Yields:
        (state, progress), at least at the end of each epoch.

    Raises:
        NonFiniteError: `config.max_skipped` steps in a row were skipped.  Parameters, optimizer
            state and carry of the last yielded state are those before the first of these steps.
        TypeError: the ids are not integers.
        ValueError: the text is too short for one batch, an id is out of range, or the state has
            another batch size.

    Examples:
        >>> import jax, jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be")
        >>> size = len(vocabulary)
        >>> model = jaxrnn.language_model(size, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> config = jaxrnn.TrainConfig(batch_size=2, num_steps=4, epochs=3)
        >>> optimizer = config.make_optimizer()
        >>> state = jaxrnn.init_state(model, optimizer, size, 2, jax.random.key(0))
        >>> ids = vocabulary.encode("to be or not to be")
        >>> for state, progress in jaxrnn.train(model, optimizer, config, ids, state):
        ...     pass
        >>> progress.finished_epochs, progress.total_tokens
        (3, 48)
    """
    check_text(ids)
    plans, placement = config.plans(len(ids)), make_placement(config)
    progress = _check_progress(config, plans, progress)
    step = make_train_step(
        model,
        optimizer,
        axis_name=placement.axis_name,
        accumulate=config.accumulate,
        penalty=config.make_penalty(),
    )
    text = Text(ids, model.output_size(0))
    feed = chunks(text, plans, placement, (progress.epoch, progress.batch), config.epochs)
    state, run_steps = placement.put_state(state), None
    for chunk in prefetch_one(feed):
        if run_steps is None:
            run_steps = placement.compile(
                _make_run_steps(config, step),
                state,
                chunk.arrays,
                StepRange.of(0, 0, 0),
            )
            wait_for_all("the program is compiled")
            seconds_per_step = SECONDS_PER_CALL  # not known yet: the first call runs one step
            began = time.perf_counter()
        if chunk.epoch != progress.epoch or progress.num_batches == 0:
            progress = progress._replace(epoch=chunk.epoch, batch=0, nats=0.0, tokens=0)
            progress = progress._replace(num_batches=chunk.num_batches)
        while progress.batch < chunk.last:
            first = progress.batch - chunk.first
            (num_steps,) = max_over_processes(max(1, int(SECONDS_PER_CALL / seconds_per_step)))
            last = min(chunk.last - chunk.first, first + num_steps)
            todo = StepRange.of(first, last, progress.skipped_in_row)
            state, todo, each = run_steps(state, chunk.arrays, todo)
            done = int(todo.first)  # waits for the devices
            seconds = time.perf_counter() - began
            seconds_per_step = seconds / (done - first)
            progress = _advance(progress, first, todo, each, seconds)
            yield state, progress
            began = time.perf_counter()  # waiting for batches counts, the caller's time does not
            if progress.skipped_in_row >= config.max_skipped:
                cause = CAUSES[int(np.asarray(each.cause)[done - 1])]
                raise NonFiniteError(
                    f"{cause} was not finite in {progress.skipped_in_row} batches in a row, up to"
                    f" batch {progress.batch} of epoch {progress.epoch + 1}"
                )


def _check_progress(config: TrainConfig, plans: EpochPlans, progress: Progress) -> Progress:
    num_batches = len(plans.plan(progress.epoch))
    if progress.num_batches not in (0, num_batches) or progress.batch > num_batches:
        raise ValueError(f"progress must have epochs of {num_batches} batches, got {progress}")
    if progress.skipped_in_row >= config.max_skipped:  # resumed after it stopped: try once more
        return progress._replace(skipped_in_row=0)
    return progress


class StepRange(NamedTuple):
    """The steps of a chunk still to take."""

    first: Any
    """The index of the next step."""
    last: Any
    """The index after the last step."""
    skipped_in_row: Any
    """Length of the run of skipped steps before `first`."""

    @classmethod
    def of(cls, first: int, last: int, skipped_in_row: int) -> "StepRange":
        return cls(np.int32(first), np.int32(last), np.int32(skipped_in_row))


def _advance(
    progress: Progress, first: int, todo: StepRange, each: Metrics, seconds: float
) -> Progress:
    """Return the progress after a call, from the steps that remain and the chunk's metrics."""
    done = int(todo.first)
    steps = slice(first, done)
    nats = np.asarray(each.loss_sum)[steps].tolist()
    tokens = int(np.asarray(each.weight)[steps].sum())
    return progress._replace(
        batch=progress.batch + done - first,
        # One by one, unlike `sum`: the split into calls must not change the result.
        nats=functools.reduce(operator.add, nats, progress.nats),
        tokens=progress.tokens + tokens,
        seconds=progress.seconds + seconds,
        total_tokens=progress.total_tokens + tokens,
        skipped=progress.skipped + int(np.asarray(each.skipped)[steps].sum()),
        skipped_in_row=int(todo.skipped_in_row),
    )


def _make_run_steps(config: TrainConfig, train_step: TrainStep) -> Program:
    """Return a program that takes the steps of a chunk one after another."""

    def run_steps(state: TrainState, batches: Any, todo: StepRange) -> Any:
        tokens, starts, lengths = batches

        def is_unfinished(loop_state: Any) -> Any:
            _, todo, _ = loop_state
            return (todo.first < todo.last) & (todo.skipped_in_row < config.max_skipped)

        def take_step(loop_state: Any) -> Any:
            state, todo, rows = loop_state
            step = todo.first
            of_step = None if lengths is None else lengths[step]
            batch = Batch(tokens[step, :-1], tokens[step, 1:], None, starts[step], of_step)
            state, metrics = train_step(state, batch)
            in_row = jnp.where(metrics.skipped, todo.skipped_in_row + 1, 0)
            rows = jax.tree.map(
                lambda row, new: row.at[step].set(new.astype(row.dtype)), rows, metrics
            )
            return state, StepRange(step + 1, todo.last, in_row), rows

        floats, integers = jnp.zeros(len(starts)), jnp.zeros(len(starts), jnp.int32)
        rows = Metrics(floats, integers, floats, skipped=integers > 0, cause=integers)
        return lax.while_loop(is_unfinished, take_step, (state, todo, rows))

    return run_steps
