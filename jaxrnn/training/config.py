"""The settings of a training run."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import optax

from jaxrnn.checks import (
    FLOAT32_MAX,
    INT32_MAX,
    check_choice,
    check_integer,
    check_number,
    check_positive_integer,
    check_seed,
)
from jaxrnn.losses import ActivationPenalty
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.training.averaging import average_params
from jaxrnn.training.optimizer import make_optimizer, scale_by_weight
from jaxrnn.training.schedules import step_decay, warm_up


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
    random_lengths: bool = False
    """Draw the length of each batch's windows anew, around num_steps and at most 10 more, with a
    learning rate in proportion (Merity et al. 2018, arXiv:1708.02182); for sequential windows.  The
    optimizer then needs the batch's weight, which `make_train_step` passes on."""
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
    schedule: Literal["steps", "cosine"] = "steps"
    """The learning rate changes in steps, by `decay`, or falls to 0 along half a cosine over all
    epochs (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    decay: float = 1.0
    """Factor on the learning rate at the end of each epoch, from epoch `decay_after` on."""
    decay_after: int = 1
    """Epochs with the initial learning rate."""
    warmup_steps: int = 0
    """Training steps in which the learning rate grows from near 0 to where the schedule is."""
    max_grad_norm: float | None = 0.01
    """Global norm that larger gradients are scaled down to; None never clips."""
    weight_decay: float | None = None
    """Weight decay: the optimizer's own, such as adamw's, where it has one; otherwise so much of
    each parameter is added to its gradient.  None leaves it to the optimizer."""
    activation_penalty: float = 0.0
    """Weight, in the loss that is minimised, of the squares of the last layer's outputs after
    dropout: "activation regularization" (Merity et al. 2017, arXiv:1708.01009)."""
    temporal_penalty: float = 0.0
    """Weight of the squared changes of these outputs from step to step, before dropout: "temporal
    activation regularization"."""
    average: float | None = None
    """Keep an average of the parameters, and evaluate that: an exponential one with this decay,
    such as 0.999, or with 1 the mean of all steps (Polyak and Juditsky 1992)."""
    average_after: int = 0
    """Epochs before the average begins."""
    unigram_bias: bool = False
    """Begin with log-frequencies of the training text's tokens as the output layer's bias, so that
    a run need not learn them; for new parameters.  In Python: `LanguageModel.with_unigram_bias`."""
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
        check_choice("schedule", self.schedule, ("steps", "cosine"))
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
        make_optimizer(self.optimizer, 1.0, self.max_grad_norm, self.weight_decay)
        self._check_regularization()

    def _check_regularization(self) -> None:
        for name in ("warmup_steps", "average_after"):
            check_integer(name, getattr(self, name))
            check_number(name, getattr(self, name), low=0, high=INT32_MAX)
        for name in ("activation_penalty", "temporal_penalty"):
            check_number(name, getattr(self, name), low=0.0, high=FLOAT32_MAX)
        if self.average is not None:
            check_number("average", self.average, low=0.0, high=1.0)
        elif self.average_after:
            raise ValueError(f"average_after {self.average_after} needs an average, got None")
        if self.random_lengths and self.windows != "sequential":
            raise ValueError("random_lengths needs sequential windows, got random ones")
        if self.schedule == "cosine" and self.decay != 1:
            raise ValueError(f"decay {self.decay} needs the schedule steps, got cosine")

    def make_optimizer(self, num_ids: int | None = None) -> optax.GradientTransformation:
        """Return the optimizer that the configuration names.

        Args:
            num_ids: the number of tokens in the text, needed if the learning rate decays or the
                average begins after some epochs.
        """
        steps = None if num_ids is None else self.plans(num_ids).batches_per_epoch()
        rate = self._rate(steps)
        optimizer = make_optimizer(self.optimizer, rate, self.max_grad_norm, self.weight_decay)
        more = []
        if self.random_lengths:
            more.append(scale_by_weight(self.batch_size * self.num_steps))
        if self.average is not None:
            after = self.average_after and self.average_after * _known(steps, "average_after")
            more.append(average_params(self.average, min(after, INT32_MAX)))
        return optax.chain(optimizer, *more) if more else optimizer

    def _rate(self, steps: int | None) -> Any:
        """Return the learning rate, or its schedule over epochs of `steps` steps."""
        rate: Any = self.learning_rate
        if self.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, self.epochs * _known(steps, "schedule"))
        elif self.decay != 1.0:
            steps = _known(steps, "decay")
            begin = min((self.decay_after - 1) * steps, INT32_MAX - steps)  # never reached
            rate = step_decay(rate, self.decay, steps, begin)
        if self.warmup_steps == 0:
            return rate
        return warm_up(rate if callable(rate) else optax.constant_schedule(rate), self.warmup_steps)

    def make_penalty(self) -> ActivationPenalty | None:
        """Return the penalty on activations that the configuration names, or None."""
        if self.activation_penalty == self.temporal_penalty == 0:
            return None
        return ActivationPenalty(self.activation_penalty, self.temporal_penalty)

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
            self.random_lengths,
        )


def _known(steps: int | None, name: str) -> int:
    if steps is None:
        raise ValueError(f"num_ids must be given, because {name} counts in epochs, got None")
    return steps


def flat_settings(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names, such as `training.seed`."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        place = before + name
        is_nested = isinstance(value, dict)
        flat |= flat_settings(value, f"{place}.") if is_nested else {place: value}
    return flat
