"""Predicting a noisy sine: a window of past values, or a recurrent network's hidden state.

    python -m experiments.sine

The data are the book's 1,000 points, sin(0.01 t) plus normal noise of 0.2, of which the first 600
are for training.  Compares the two strategies of the chapter "Sequence models": networks that see a
window of tau values (a multilayer perceptron tau-10-1, tau = 4, 16, 64), and a latent
autoregressive model (a GRU, which carries its own summary of the past).  Prints the mean squared
error of predictions 1, 4, 16 and 64 steps ahead on the last 400 points, and the variance of their
noise, which no prediction can beat.  Draws the predictions, and the error against the horizon.
Expect the GRU's error to be near the noise one step ahead, and at most 1.5 times the noise 64 steps
ahead.  The windows have 1.3 times the noise one step ahead, and narrow ones lose the wave further
on.  A quarter of a minute on two CPU cores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

import jaxrnn
from experiments.shared import pictures
from experiments.shared.memory import check_fits
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.commands.progress import track
from jaxrnn.runs.files import write_json
from jaxrnn.typing import Array, Float, HostArray

NUM_POINTS, NUM_TRAINING, NOISE = 1_000, 600, 0.2
HORIZONS = (1, 4, 16, 64)

Forecast = Callable[[Float[Array, "t"]], Float[Array, "horizon t"]]
"""A function from a series to the predictions 1, 2, ... steps after each of its points."""


@dataclass(frozen=True)
class Settings:
    """Settings of the networks and their training."""

    windows: tuple[int, ...] = (4, 16, 64)
    """Past values that each perceptron sees."""
    hidden_size: int = 32
    """Units of the GRU."""
    steps: int = 400
    """Training steps of each perceptron, with Adam."""
    latent_steps: int = 300
    """Training steps of the GRU; with many more, it memorises the noise of the 600 points."""
    seed: int = 0
    """Seed of the noise and of the weights."""
    out: Path = Path("runs/sine")
    """Folder for pictures and numbers."""

    def __post_init__(self) -> None:
        if not self.windows:
            raise ValueError("windows must hold at least one, got none")
        for window in self.windows:
            check_positive_integer("windows", window)
            if window > NUM_TRAINING // 2:
                raise ValueError(f"windows must be at most {NUM_TRAINING // 2}, got {window}")
        for name in ("hidden_size", "steps", "latent_steps"):
            check_positive_integer(name, getattr(self, name))
        check_seed("seed", self.seed)


def make_series(seed: int) -> Float[HostArray, "t"]:
    """Return the noisy sine at t = 1, 2, ..."""
    time = np.arange(1, NUM_POINTS + 1)
    noise = np.random.default_rng(seed).normal(0, NOISE, NUM_POINTS)
    return (np.sin(0.01 * time) + noise).astype(np.float32)


def minimise(loss: Callable[[Any], Any], params: Any, steps: int) -> Any:
    """Minimise a loss with Adam, at a rate that falls to zero along a cosine."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, steps))

    @jax.jit
    def run(params: Any) -> Any:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = lax.scan(step, (params, optimizer.init(params)), None, length=steps)
        return params

    return jax.block_until_ready(run(params))


class Perceptron(nnx.Module):
    """The book's perceptron: tau values, ten ReLU units, one value; Xavier initialisation."""

    def __init__(self, tau: int, rngs: nnx.Rngs) -> None:
        xavier = nnx.initializers.xavier_uniform()
        self.hidden = nnx.Linear(tau, 10, kernel_init=xavier, rngs=rngs)
        self.output = nnx.Linear(10, 1, kernel_init=xavier, rngs=rngs)

    def __call__(self, window: Float[Array, "*B tau"]) -> Float[Array, "*B"]:
        return self.output(nnx.relu(self.hidden(window)))[..., 0]


def learn_window(series: np.ndarray, tau: int, settings: Settings) -> Forecast:
    """Train a perceptron on windows; further ahead it reads its own predictions."""
    graph, params = nnx.split(Perceptron(tau, nnx.Rngs(settings.seed)))

    def predict(params: Any, windows: Any) -> Any:
        return nnx.merge(graph, params)(windows)

    training = jnp.asarray(series[:NUM_TRAINING])
    windows, targets = _windows(training, tau)[:-1], training[tau:]
    trained = minimise(
        lambda p: jnp.square(predict(p, windows) - targets).mean(), params, settings.steps
    )

    def forecast(series: Any) -> Any:
        def ahead(windows: Any, _: None) -> tuple[Any, Any]:
            value = predict(trained, windows)
            return jnp.concatenate([windows[:, 1:], value[:, None]], axis=1), value

        _, values = lax.scan(ahead, _windows(series, tau), None, length=max(HORIZONS))
        return jnp.pad(values, ((0, 0), (tau - 1, 0)), constant_values=jnp.nan)

    return jax.jit(forecast)


def _windows(series: Any, tau: int) -> Any:
    """Return the tau values up to each point, `[t - tau + 1, tau]`."""
    return series[jnp.arange(len(series) - tau + 1)[:, None] + jnp.arange(tau)[None]]


def learn_latent(series: np.ndarray, settings: Settings) -> Forecast:
    """Train a GRU that reads the series and predicts the next value from its hidden state."""
    body = jaxrnn.recurrent(jaxrnn.gru(settings.hidden_size))
    model = jaxrnn.stack([body, jaxrnn.linear(1)])
    check_fits(model, 1)
    params = model.init(jax.random.key(settings.seed), 1)
    training = jnp.asarray(series[:NUM_TRAINING])[:, None, None]  # [T, B, D]

    def loss(params: Any) -> Any:
        values, _ = model.apply(params, training[:-1], model.initial_carry(params, 1))
        return jnp.square(values - training[1:])[16:].mean()  # it needs some past first

    trained = minimise(loss, params, settings.latent_steps)

    def forecast(series: Any) -> Any:
        def read(carry: Any, value: Any) -> tuple[Any, Any]:
            predicted, carry = jaxrnn.step(model, trained, value, carry)
            return carry, (carry, predicted)

        inputs = series[:, None, None]
        _, (carries, first) = lax.scan(read, model.initial_carry(trained, 1), inputs)
        # From here on, every point of the series is a row of one batch.
        carries, first = jax.tree.map(lambda leaf: leaf[:, 0], (carries, first))

        def ahead(state: Any, _: None) -> tuple[Any, Any]:
            carry, value = state
            predicted, carry = jaxrnn.step(model, trained, value, carry)
            return (carry, predicted), value[:, 0]

        _, values = lax.scan(ahead, (carries, first), None, length=max(HORIZONS))
        return values

    return jax.jit(forecast)


def errors(series: np.ndarray, predictions: np.ndarray) -> list[float]:
    """Return the mean squared error on the points after the training ones, for each horizon."""
    found = []
    for horizon in range(1, len(predictions) + 1):
        targets = np.arange(NUM_TRAINING, NUM_POINTS)
        predicted = predictions[horizon - 1][targets - horizon]
        found.append(float(np.square(predicted - series[targets]).mean()))
    return found


def sine(settings: Settings) -> None:
    """Train, predict, print the table and draw the pictures."""
    pictures.make_folder(settings.out)
    series = make_series(settings.seed)
    learners: dict[str, Callable[[], Forecast]] = {
        f"window of {tau}": partial(learn_window, series, tau, settings) for tau in settings.windows
    }
    learners["GRU"] = partial(learn_latent, series, settings)
    predictions = {
        name: np.asarray(learners[name]()(jnp.asarray(series)))
        for name in track("training and predicting", learners, "model")
    }
    by_horizon = {name: errors(series, predicted) for name, predicted in predictions.items()}
    time = np.arange(NUM_TRAINING, NUM_POINTS)
    noise = float(np.square(series[time] - np.sin(0.01 * (time + 1))).mean())
    print(f"mean squared error on the last {len(time)} points, whose noise is {noise:.4f}")
    print_head("model", *(f"{h} ahead" for h in HORIZONS))
    for name, each in by_horizon.items():
        print_row(name, *(f"{each[h - 1]:.4f}" for h in HORIZONS))
    _draw_predictions(settings, series, predictions)
    _draw_errors(settings, by_horizon, noise)
    write_json(settings.out / "numbers.json", {"noise": noise, "errors": by_horizon})


def _draw_predictions(
    settings: Settings, series: np.ndarray, predictions: dict[str, np.ndarray]
) -> None:
    """Draw one panel per horizon; in a single panel the lines would hide one another."""
    names = (f"window of {settings.windows[0]}", "GRU")
    figure, all_axes = pictures.new_figure(len(HORIZONS), 13, 5.4, rows=len(names))
    time = np.arange(1, NUM_POINTS + 1)
    for axes, (name, horizon) in zip(all_axes, product(names, HORIZONS), strict=True):
        axes.plot(time, series, ".", color="0.8", markersize=2)
        axes.plot(time[horizon:], predictions[name][horizon - 1][:-horizon], "C0", linewidth=1)
        axes.axvline(NUM_TRAINING, color="black", linewidth=1)
        axes.set(ylim=(-2, 2), title=f"{name}, {horizon} ahead")
    figure.suptitle("Data (grey) and predictions; points before the line are training data")
    figure.supxlabel("time")
    figure.supylabel("value")
    pictures.save(figure, settings.out / "predictions.png")


def _draw_errors(settings: Settings, by_horizon: dict[str, list[float]], noise: float) -> None:
    figure, (axes,) = pictures.new_figure()
    for name, each in by_horizon.items():
        axes.plot(range(1, len(each) + 1), each, label=name)
    axes.axhline(noise, color="black", linestyle=":", label="variance of the noise")
    axes.set(xlabel="steps ahead", ylabel="mean squared error", yscale="log")
    pictures.plain_ticks(axes.yaxis)
    axes.set(title="Error against the horizon, outside the training data")
    axes.legend()
    pictures.save(figure, settings.out / "errors.png")


if __name__ == "__main__":
    command_line.main(sine, Settings, description=__doc__)
