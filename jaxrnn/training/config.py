"""The settings of a training run."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import optax

from jaxrnn.checks import check_choice, check_number, check_positive_integer, check_seed
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.training.optimizer import make_optimizer


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run; the defaults are those of "Dive into Deep Learning".

    Examples:
        >>> import jaxrnn
        >>> config = jaxrnn.TrainConfig(optimizer="adam", batch_size=8, max_grad_norm=1)
        >>> config.learning_rate, config.windows
        (0.001, 'random')
        >>> optimizer = config.make_optimizer()
    """

    windows: Literal["random", "sequential"] = "random"
    """Windows in random order, or rows of text read side by side.
    Random windows start from the initial carry; rows pass the carry on."""
    random_offset: bool = False
    """Skip a random number of tokens at the start of each epoch, as in the book's 2nd edition."""
    batch_size: int = 32
    """Windows in a batch."""
    num_steps: int = 35
    """Tokens in a window."""
    epochs: int = 250
    """Passes over the text."""
    optimizer: str = "sgd"
    """Any optimizer of optax: sgd, adam, adamw, rmsprop, ..."""
    learning_rate: float | None = None
    """Learning rate; by default 100 for sgd, as in the book, and 0.001 for any other."""
    decay: float = 1.0
    """Factor on the learning rate at the end of each epoch, from epoch `decay_after` on."""
    decay_after: int = 1
    """Epochs with the initial learning rate."""
    max_grad_norm: float | None = 0.01
    """Global norm that larger gradients are scaled down to; None never clips."""
    max_skipped: int = 10
    """Consecutive steps skipped because something is not finite, after which training stops."""
    seed: int = 0
    """Seed of the initial weights and of the order of the windows."""
    devices: int | None = None
    """Devices that share each batch; by default one, or all those of several processes."""
    parallel: Literal["jit", "pmap"] = "jit"
    """How the program is split over devices: by the compiler (shardings) or by jax.pmap."""
    accumulate: int = 1
    """Groups of rows per device, processed one after another: less memory, the same numbers."""

    def __post_init__(self) -> None:
        check_choice("windows", self.windows, ("random", "sequential"))
        check_choice("parallel", self.parallel, ("jit", "pmap"))
        sizes = ("batch_size", "num_steps", "epochs", "decay_after", "max_skipped", "accumulate")
        for name in sizes:
            check_positive_integer(name, getattr(self, name))
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
        """Return the optimizer that the configuration names.

        Args:
            num_ids: the number of tokens in the text, needed if the learning rate decays.
        """
        rate: Any = self.learning_rate
        if self.decay != 1.0:
            if num_ids is None:
                raise ValueError("num_ids must be given if the learning rate decays, got None")
            steps = self.plans(num_ids).most_batches()
            begin = (self.decay_after - 1) * steps
            if self.decay == 0:  # optax.exponential_decay would not decay at all
                rate = optax.piecewise_constant_schedule(rate, {begin + steps: 0.0})
            else:
                rate = optax.exponential_decay(rate, steps, self.decay, begin, staircase=True)
        return make_optimizer(self.optimizer, rate, self.max_grad_norm)

    def check_rows(self, num_devices: int) -> None:
        """Raise unless a batch splits evenly over devices and groups of rows."""
        parts = num_devices * self.accumulate
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size must be a multiple of devices x accumulate = {num_devices} x"
                f" {self.accumulate} = {parts}, got {self.batch_size}"
            )

    def plans(self, num_ids: int) -> EpochPlans:
        """Return the windows of all epochs on a text of `num_ids` tokens.

        Raises:
            ValueError: the text is too short for one batch; the message names the length needed.
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
    """Return nested settings under dotted names, such as `training.seed`."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        place = before + name
        is_nested = isinstance(value, dict)
        flat |= flat_settings(value, f"{place}.") if is_nested else {place: value}
    return flat
