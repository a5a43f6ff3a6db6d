"""Training over many epochs: the compiled call that runs many steps, and the loop around it."""

import dataclasses
import functools
import math
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxrnn.checks import (
    check_choice,
    check_ids,
    check_positive_integer,
    check_seed,
)
from jaxrnn.layers import Layer
from jaxrnn.text import Batch, WindowPlan, gather_windows, random_plan, sequential_plan
from jaxrnn.text.windows import check_long_enough, check_text
from jaxrnn.training.train_step import (
    Metrics,
    TrainState,
    TrainStep,
    make_optimizer,
    make_train_step,
)
from jaxrnn.typing import HostArray, Int

SECONDS_PER_CALL = 1.0
"""About how long one compiled call may take: what Ctrl-C and the progress bar have to wait for."""


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.  The defaults are those of "Dive into Deep Learning"."""

    windows: Literal["random", "sequential"] = "random"
    """Windows in random order, each from the initial carry; or rows read side by side, with the
    carry passed on."""
    random_offset: bool = False
    """Skip some tokens at the start of each epoch, drawn anew, as the book's second edition."""
    batch_size: int = 32
    """Windows in a batch."""
    num_steps: int = 35
    """Tokens in a window."""
    epochs: int = 250
    """Passes over the text."""
    optimizer: str = "sgd"
    """Any optimizer of optax: sgd, adam, adamw, rmsprop, ..."""
    learning_rate: float | None = None
    """Learning rate; by default 100 for sgd, as the book, and 0.001 for any other."""
    max_grad_norm: float | None = 0.01
    """Gradients are scaled down to this global norm; None never clips."""
    seed: int = 0
    """Seed of the initial weights and of the order of the windows."""

    def __post_init__(self) -> None:
        check_choice("windows", self.windows, ("random", "sequential"))
        for name in ("batch_size", "num_steps", "epochs"):
            check_positive_integer(name, getattr(self, name))
        check_seed("seed", self.seed)
        if self.learning_rate is None:
            rate = 100.0 if self.optimizer == "sgd" else 0.001
            object.__setattr__(self, "learning_rate", rate)
        self.make_optimizer()

    def make_optimizer(self) -> optax.GradientTransformation:
        """The optimizer that the configuration names."""
        assert self.learning_rate is not None  # since __post_init__
        return make_optimizer(self.optimizer, self.learning_rate, self.max_grad_norm)

    def check_text_length(self, num_ids: int) -> None:
        """Raise, with the number that is needed, if a text is too short for one batch."""
        most_skipped = 0
        if self.random_offset:
            most_skipped = self.num_steps - (self.windows == "random")
        check_long_enough(num_ids, most_skipped, self.batch_size, self.num_steps, self.num_steps)


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

    @property
    def finished_epochs(self) -> int:
        """Epochs that are complete."""
        return self.epoch + (0 < self.num_batches == self.batch)

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy of the epoch under way; its exponential is the perplexity."""
        return self.nats / self.tokens if self.tokens else math.nan


def plan_epoch(config: TrainConfig, num_ids: int, epoch: int) -> WindowPlan:
    """The windows of one epoch: a pure function of the configuration and the epoch's number."""
    sizes = (num_ids, config.batch_size, config.num_steps)
    if not config.random_offset:
        if config.windows == "sequential":
            return sequential_plan(*sizes)
        return random_plan(*sizes, config.seed, epoch)
    generator = np.random.default_rng((config.seed, epoch, 1))  # the order has a stream of its own
    if config.windows == "sequential":
        offset = int(generator.integers(0, config.num_steps, endpoint=True))
        row_length = (num_ids - offset - 1) // config.batch_size
        return sequential_plan(*sizes, offset, row_length)
    offset = int(generator.integers(0, config.num_steps))
    return random_plan(*sizes, config.seed, epoch, offset)


def train(
    model: Layer,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    ids: Int[HostArray, "n"],
    state: TrainState,
    progress: Progress = Progress(),
) -> Iterator[tuple[TrainState, Progress]]:
    """Train, and hand out the state after every compiled call.

    The text lies on the device and one call runs many steps, about a second's worth, so Python is
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
    for epoch in range(progress.epoch, config.epochs):
        plan = plan_epoch(config, len(ids), epoch)
        num_batches = len(plan.offsets)
        if epoch != progress.epoch or progress.num_batches == 0:
            progress = progress._replace(epoch=epoch, batch=0, nats=0.0, tokens=0)
            progress = progress._replace(num_batches=num_batches)
        if progress.num_batches != num_batches or progress.batch > num_batches:
            raise ValueError(f"progress must be of epochs of {num_batches} batches, got {progress}")
        padded = _pad(plan, _most_batches(config, len(ids)))
        while progress.batch < num_batches:
            first = progress.batch
            last = min(num_batches, first + max(1, int(SECONDS_PER_CALL / seconds_per_step)))
            began = time.perf_counter()
            state, each = run_steps(state, text, padded, np.int32(first), np.int32(last))
            nats = np.asarray(each.nats)[first:last].tolist()  # waits for the device
            tokens = sum(np.asarray(each.tokens)[first:last].tolist())
            seconds = time.perf_counter() - began
            seconds_per_step = seconds / (last - first)
            progress = progress._replace(
                batch=last,
                # Number by number, as `sum` would not: the cut into calls must not show.
                nats=functools.reduce(operator.add, nats, progress.nats),
                tokens=progress.tokens + tokens,
                seconds=progress.seconds + seconds,
                total_tokens=progress.total_tokens + tokens,
            )
            yield state, progress


def _compile(config: TrainConfig, train_step: TrainStep, state: TrainState, text: Any) -> Any:
    """The program (state, text, plan, first, last) -> (state, metrics [N]): steps first..last."""
    num_batches = _most_batches(config, len(text))

    def run_steps(state: TrainState, text: Any, plan: WindowPlan, first: Any, last: Any) -> Any:
        def one_step(step: Any, so_far: Any) -> Any:
            state, rows = so_far
            inputs, targets = gather_windows(text, plan.offsets[step], config.num_steps)
            state, metrics = train_step(state, Batch(inputs, targets, None, plan.starts[step]))
            return state, jax.tree.map(lambda row, new: row.at[step].set(new), rows, metrics)

        floats = jnp.zeros(num_batches)
        rows = Metrics(nats=floats, tokens=jnp.zeros(num_batches, jnp.int32), grad_norm=floats)
        return lax.fori_loop(first, last, one_step, (state, rows))

    plan = _pad(plan_epoch(config, len(text), 0), num_batches)
    lowered = jax.jit(run_steps, donate_argnums=0).lower(
        state, text, plan, np.int32(0), np.int32(1)
    )
    return lowered.compile()


def _most_batches(config: TrainConfig, num_ids: int) -> int:
    """Batches of an epoch that skips nothing."""
    without_offset = dataclasses.replace(config, random_offset=False)
    return len(plan_epoch(without_offset, num_ids, 0).offsets)


def _pad(plan: WindowPlan, num_batches: int) -> WindowPlan:
    """A plan of always the same shape, so that one program serves all epochs."""
    missing = ((0, num_batches - len(plan.offsets)), (0, 0))
    return WindowPlan(np.pad(plan.offsets, missing), np.pad(plan.starts, missing))
