"""Training over many epochs: the compiled call that runs many steps, and the loop around it."""

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.checks import check_choice, check_positive_integer, check_seed
from jaxrnn.layers import Layer
from jaxrnn.text import Batch, WindowPlan, gather_windows, random_plan, sequential_plan
from jaxrnn.training.train_step import TrainState, TrainStep, make_optimizer, make_train_step
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
    learning_rate: float = 100.0
    """Learning rate."""
    max_grad_norm: float | None = 0.01
    """Gradients are scaled down to this global norm; None never clips."""
    seed: int = 0
    """Seed of the initial weights and of the order of the windows."""

    def __post_init__(self) -> None:
        check_choice("windows", self.windows, ("random", "sequential"))
        for name in ("batch_size", "num_steps", "epochs"):
            check_positive_integer(name, getattr(self, name))
        check_seed("seed", self.seed)
        make_optimizer(self.optimizer, self.learning_rate, self.max_grad_norm)


class Progress(NamedTuple):
    """How far a training is: plain numbers, saved with every checkpoint."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches done of the epoch under way; all of them just after it is finished."""
    num_batches: int = 0
    """Batches of that epoch."""
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
        config: how to train.
        ids: the text.
        state: of `init_state`, or out of a checkpoint.  Its buffers are given away to the call: do
            not use it, nor an earlier state that came out, afterwards.
        progress: out of the same checkpoint.

    Yields:
        (state, progress), at the least at the end of each epoch.

    Raises:
        ValueError: the text is too short for one batch.
    """
    plan_epoch(config, len(ids), progress.epoch)  # a text too short is an error before compilation
    optimizer = make_optimizer(config.optimizer, config.learning_rate, config.max_grad_norm)
    run_steps = _compile(model, config, make_train_step(model, optimizer), state, ids)
    text = jnp.asarray(ids)
    seconds_per_step = SECONDS_PER_CALL  # until the first call has told
    for epoch in range(progress.epoch, config.epochs):
        plan = plan_epoch(config, len(ids), epoch)
        num_batches = len(plan.offsets)
        if epoch != progress.epoch or progress.num_batches == 0:
            progress = progress._replace(epoch=epoch, batch=0, nats=0.0, tokens=0)
            progress = progress._replace(num_batches=num_batches)
        padded = _pad(plan, _most_batches(config, len(ids)))
        while progress.batch < num_batches:
            first = progress.batch
            last = min(num_batches, first + max(1, int(SECONDS_PER_CALL / seconds_per_step)))
            began = time.perf_counter()
            state, nats, tokens = run_steps(state, text, padded, np.int32(first), np.int32(last))
            nats, tokens = float(nats), int(tokens)  # waits for the device
            seconds = time.perf_counter() - began
            seconds_per_step = seconds / (last - first)
            progress = progress._replace(
                batch=last,
                nats=progress.nats + nats,
                tokens=progress.tokens + tokens,
                seconds=progress.seconds + seconds,
                total_tokens=progress.total_tokens + tokens,
            )
            yield state, progress


def _compile(
    model: Layer, config: TrainConfig, train_step: TrainStep, state: TrainState, ids: Any
) -> Any:
    """The program (state, text, plan, first, last) -> (state, nats, tokens): steps first..last."""

    def run_steps(state: TrainState, text: Any, plan: WindowPlan, first: Any, last: Any) -> Any:
        def one_step(step: Any, so_far: Any) -> Any:
            state, nats, tokens = so_far
            inputs, targets = gather_windows(text, plan.offsets[step], config.num_steps)
            state, metrics = train_step(state, Batch(inputs, targets, None, plan.starts[step]))
            return state, nats + metrics.nats, tokens + metrics.tokens

        return lax.fori_loop(first, last, one_step, (state, jnp.float32(0), jnp.int32(0)))

    plan = _pad(plan_epoch(config, len(ids), 0), _most_batches(config, len(ids)))
    lowered = jax.jit(run_steps, donate_argnums=0).lower(
        state, jnp.asarray(ids), plan, np.int32(0), np.int32(1)
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
