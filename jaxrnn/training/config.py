"""How a model is trained: the settings."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import optax

from jaxrnn.checks import INT32_MAX, check_choice, check_number, check_positive_integer, check_seed
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.training.optimizer import make_optimizer


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
    decay: float = 1.0
    """Factor on the learning rate at the end of each epoch, from epoch `decay_after` on."""
    decay_after: int = 1
    """Epochs with the first learning rate."""
    max_grad_norm: float | None = 0.01
    """Gradients are scaled down to this global norm; None never clips."""
    max_skipped: int = 10
    """Steps in a row that are skipped, because something is not finite, before training stops."""
    seed: int = 0
    """Seed of the initial weights and of the order of the windows."""
    devices: int | None = None
    """Devices that share the rows of a batch; by default one, or, where a run has several
    processes, those of all of them."""
    parallel: Literal["jit", "pmap"] = "jit"
    """Who cuts the program up for them: the compiler, by shardings, or jax.pmap."""
    accumulate: int = 1
    """Groups of rows that a device takes one after the other, for the memory of one group and the
    same numbers."""

    def __post_init__(self) -> None:
        check_choice("windows", self.windows, ("random", "sequential"))
        check_choice("parallel", self.parallel, ("jit", "pmap"))
        sizes = ("batch_size", "num_steps", "epochs", "decay_after", "max_skipped", "accumulate")
        for name in sizes:
            check_positive_integer(name, getattr(self, name), INT32_MAX)
        if self.devices is not None:
            check_positive_integer("devices", self.devices)
        self.check_rows(self.devices or 1)
        check_seed("seed", self.seed)
        if self.learning_rate is None:
            rate = 100.0 if self.optimizer == "sgd" else 0.001
            object.__setattr__(self, "learning_rate", rate)
        check_number("learning_rate", self.learning_rate, low=0.0)
        check_number("decay", self.decay, low=0.0)
        for name in ("learning_rate", "decay", "max_grad_norm"):
            if getattr(self, name) == math.inf:
                raise ValueError(f"{name} must be finite, got inf")
        make_optimizer(self.optimizer, 1.0, self.max_grad_norm)

    def make_optimizer(self, num_ids: int | None = None) -> optax.GradientTransformation:
        """The optimizer that the configuration names.

        Args:
            num_ids: tokens of the text, needed where the learning rate decays.
        """
        rate: Any = self.learning_rate
        if self.decay != 1.0:
            if num_ids is None:
                raise ValueError("num_ids must be given where the learning rate decays, got None")
            steps = self.plans(num_ids).most_batches()
            begin = (self.decay_after - 1) * steps
            if self.decay == 0:  # which optax's decay takes for no decay at all
                rate = optax.piecewise_constant_schedule(rate, {begin + steps: 0.0})
            else:
                rate = optax.exponential_decay(rate, steps, self.decay, begin, staircase=True)
        return make_optimizer(self.optimizer, rate, self.max_grad_norm)

    def check_rows(self, num_devices: int) -> None:
        """Raise unless each device gets as many rows of a batch as any other."""
        parts = num_devices * self.accumulate
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size must be a multiple of devices x accumulate = {num_devices} x"
                f" {self.accumulate} = {parts}, got {self.batch_size}"
            )

    def plans(self, num_ids: int) -> EpochPlans:
        """Return the windows of all epochs on a text of so many tokens.

        Raises:
            ValueError: the text is too short for one batch; the number that is needed is named.
        """
        return EpochPlans(
            num_ids,
            self.windows == "sequential",
            self.random_offset,
            self.batch_size,
            self.num_steps,
            self.seed,
        )


def flat_settings(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names, such as `training.seed`."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        place = before + name
        is_nested = isinstance(value, dict)
        flat |= flat_settings(value, f"{place}.") if is_nested else {place: value}
    return flat
