"""Vanishing and exploding gradients: how far they reach back in time in RNN, LSTM and GRU.

    python -m experiments.gradients

Each network learns the first 10,000 characters of The Time Machine.  Then the loss of one character
is differentiated with respect to the carry 1, 2, ... steps before.  The pictures show that
gradient's norm against the distance, before and after training; the same for an RNN with scaled-up
recurrent weights; and the norm of each training step's gradient, with and without clipping.  A
table shows how much of the parameters' gradient truncation at 35 steps cuts off.  Before training,
expect the LSTM's gradient at distance 30 to be above the RNN's, 40,000 times as large where the
forget gates start open; afterwards all have learnt to look back.  A minute on two CPU cores.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from optax.losses import softmax_cross_entropy_with_integer_labels as cross_entropy

import jaxrnn
from experiments.shared import pictures
from experiments.shared.memory import check_fits
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.commands.progress import Bar, track
from jaxrnn.layers import Layer
from jaxrnn.runs.files import write_json
from jaxrnn.runs.texts import Texts, prepare_texts
from jaxrnn.text import gather_windows, load_corpus, sequential_plan
from jaxrnn.typing import Array, Float, Int, Params

NETWORKS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"cell": "lstm"},
    "LSTM, forget gate open": {"cell": "lstm", "forget_gate_bias": 1.0},
}
DISTANCES = (1, 10, 30, 60, 100)
"""Distances in the table."""
SCALES = (1.0, 1.5, 2.0, 3.0)
"""Factors of the RNN's recurrent weights."""


@dataclass(frozen=True)
class Settings:
    """Settings of the text and the networks."""

    corpus: str = "time_machine"
    """Corpus by name, or the path of a file."""
    hidden_size: int = 128
    """Units of each network."""
    epochs: int = 40
    """Passes over the text."""
    num_steps: int = 100
    """The largest distance."""
    truncate: int = 35
    """Steps of truncated back-propagation."""
    seed: int = 0
    """Seed of weights and windows."""
    out: Path = Path("runs/gradients")
    """Folder for pictures and numbers."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "epochs", "num_steps", "truncate"):
            check_positive_integer(name, getattr(self, name))
        check_seed("seed", self.seed)
        if self.truncate >= self.num_steps:
            raise ValueError(f"truncate must be below num_steps = {self.num_steps}")


def norms_by_distance(model: Layer, params: Params, ids: Int[Array, "T+1 B"]) -> Float[Array, "T"]:
    """Return the mean over rows of |d(last token's loss) / d(carry k steps before)|, k = 1..T."""

    def step(carry: Any, token: Any) -> tuple[Any, Any]:
        logits, after = jaxrnn.step(model, params, token, carry)
        return after, (carry, logits)

    def last_loss(carry: Any) -> Any:
        logits, _ = jaxrnn.step(model, params, ids[-2], carry)
        return cross_entropy(logits, ids[-1]).sum()  # a sum: no row affects another

    def back(gradient: Any, carry_and_token: Any) -> tuple[Any, Any]:
        carry, token = carry_and_token
        _, vjp = jax.vjp(lambda c: step(c, token)[0], carry)
        (gradient,) = vjp(gradient)
        return gradient, _mean_norm(gradient)

    initial = model.initial_carry(params, ids.shape[1])
    last, (carries, _) = lax.scan(step, initial, ids[:-2])
    gradient = jax.grad(last_loss)(last)
    _, norms = lax.scan(back, gradient, (carries, ids[:-2]), reverse=True)
    return jnp.concatenate([_mean_norm(gradient)[None], norms[::-1]])


def _mean_norm(gradient: Any) -> Any:
    # Scale before squaring, which underflows in float32 below 1e-19.
    rows = jnp.concatenate(jax.tree.leaves(gradient), axis=-1)
    largest = jnp.maximum(jnp.abs(rows).max(axis=-1, keepdims=True), 1e-37)
    return (largest[:, 0] * jnp.linalg.norm(rows / largest, axis=-1)).mean()


def truncation_error(
    model: Layer, params: Params, ids: Int[Array, "T+1 B"], truncate: int
) -> float:
    """Return |truncated - full| / |full| for the parameters' gradient over these windows."""

    def loss(params: Params, length: int) -> Any:
        carry, total = model.initial_carry(params, ids.shape[1]), jnp.zeros(())
        for begin in range(0, len(ids) - 1, length):
            piece = ids[begin : begin + length + 1]
            logits, carry = model.apply(params, piece[:-1], lax.stop_gradient(carry))
            total += cross_entropy(logits, piece[1:]).sum()
        return total / (len(ids) - 1) / ids.shape[1]

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    full, cut = (gradient(params, length) for length in (len(ids) - 1, truncate))
    error = jax.tree.map(jnp.subtract, cut, full)
    return float(optax.tree.norm(error) / optax.tree.norm(full))


class Trained(NamedTuple):
    """A network before and after training."""

    model: Layer
    before: Params
    after: Params


def train(settings: Settings, name: str, texts: Texts) -> Trained:
    """Train with Adam on sequential windows, clipping to 1."""
    size = len(texts.vocabulary)
    sizes: dict[str, Any] = {"hidden_size": settings.hidden_size, "init": "uniform"}
    config = jaxrnn.ModelConfig(**(sizes | NETWORKS[name]))
    options: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.003, "max_grad_norm": 1.0}
    options |= {"windows": "sequential", "random_offset": True}
    training = jaxrnn.TrainConfig(epochs=settings.epochs, seed=settings.seed, **options)
    model, optimizer = jaxrnn.build_language_model(config, size), training.make_optimizer()
    check_fits(model, size)
    key = jax.random.key(settings.seed)
    with Bar(name, settings.epochs) as bar:
        state = jaxrnn.init_state(model, optimizer, size, training.batch_size, key)
        before = jax.tree.map(jnp.copy, state.params)  # training takes the state's buffers
        steps = jaxrnn.train(model, optimizer, training, texts.ids, state)
        *_, (state, progress) = bar.follow(steps)
    print(f"{name}: training perplexity {progress.perplexity:.2f}")
    return Trained(model, before, state.params)


def norms_while_training(
    settings: Settings, texts: Texts, max_grad_norm: float | None
) -> np.ndarray:
    """Train an RNN by SGD at a high rate; return each step's gradient norm before clipping."""
    size, batch_size = len(texts.vocabulary), 32
    config = jaxrnn.ModelConfig(hidden_size=settings.hidden_size, init="uniform")
    model = jaxrnn.build_language_model(config, size)
    optimizer = jaxrnn.make_optimizer("sgd", 3.0, max_grad_norm)
    key = jax.random.key(settings.seed)
    state = jaxrnn.init_state(model, optimizer, size, batch_size, key)
    train_step = jaxrnn.make_train_step(model, optimizer)
    windows = sequential_plan(len(texts.ids), batch_size, settings.truncate)[:]
    text = jnp.asarray(texts.ids)

    @jax.jit
    def epoch(state: Any) -> Any:
        def one_step(state: Any, windows: Any) -> Any:
            inputs, targets = gather_windows(text, windows.offsets, settings.truncate)
            return train_step(state, jaxrnn.Batch(inputs, targets, None, windows.starts))

        state, metrics = lax.scan(one_step, state, windows)
        return state, metrics.grad_norm

    norms = []
    limit = "not clipped" if max_grad_norm is None else f"clipped to {max_grad_norm:g}"
    for _ in track(f"RNN by SGD, {limit}", range(settings.epochs), "epoch"):
        state, each = epoch(state)
        norms.append(np.asarray(each))
    return np.concatenate(norms)


def gradients(settings: Settings) -> None:
    """Train the networks, measure their gradients and draw the pictures."""
    pictures.make_folder(settings.out)
    texts = prepare_texts(load_corpus(settings.corpus).text, 10_000, 2_000)
    rows = sequential_plan(len(texts.ids), 32, settings.num_steps)[:1].offsets[0]
    ids = jnp.asarray(np.stack([texts.ids[r : r + settings.num_steps + 1] for r in rows], axis=1))
    trained = {name: train(settings, name, texts) for name in NETWORKS}
    numbers: dict[str, Any] = {"before": {}, "after": {}, "scaled": {}, "truncation_error": {}}
    measure = jax.jit(norms_by_distance, static_argnums=0)
    for name in track("measuring", trained, "network"):
        model, before, after = trained[name]
        numbers["before"][name] = np.asarray(measure(model, before, ids)).tolist()
        numbers["after"][name] = np.asarray(measure(model, after, ids)).tolist()
        error = truncation_error(model, after, ids, settings.truncate)
        numbers["truncation_error"][name] = error
    model, before, _ = trained["RNN"]
    (layer,) = before.body
    for scale in SCALES:
        scaled = before._replace(body=(layer._replace(w_hh=scale * layer.w_hh),))
        numbers["scaled"][scale] = np.asarray(measure(model, scaled, ids)).tolist()
    numbers["steps"] = {
        name: norms_while_training(settings, texts, limit).tolist()
        for name, limit in (("clipped to 1", 1.0), ("not clipped", None))
    }
    _print_table(settings, numbers)
    _draw(settings, numbers)
    write_json(settings.out / "numbers.json", numbers)


def _print_table(settings: Settings, numbers: dict[str, Any]) -> None:
    distances = [d for d in DISTANCES if d <= settings.num_steps]
    cut_off = f"cut off at {settings.truncate}"
    print_head("network", *(f"distance {d}" for d in distances), cut_off)
    for when in ("before", "after"):
        for name in NETWORKS:
            norms = [f"{numbers[when][name][d - 1]:.2g}" for d in distances]
            error = f"{numbers['truncation_error'][name]:.1%}" if when == "after" else ""
            print_row(f"{name}, {when} training", *norms, error)


def _draw(settings: Settings, numbers: dict[str, Any]) -> None:
    distances = np.arange(1, settings.num_steps + 1)
    figure, (left, right) = pictures.new_figure(2, width=11)
    for number, name in enumerate(NETWORKS):
        for when, style in (("before", ":"), ("after", "-")):
            label = name if when == "after" else None
            left.semilogy(distances, numbers[when][name], style, color=f"C{number}", label=label)
    cut = f"truncated at {settings.truncate}"
    left.axvline(settings.truncate, color="grey", linewidth=1, label=cut)
    for scale, norms in numbers["scaled"].items():
        right.semilogy(distances, norms, label=f"weights x {scale:g}")
    left.set(title="Vanishing: before training (dotted) and after")
    right.set(title="Exploding: an untrained RNN, scaled up")
    for axes, columns in ((left, 3), (right, 4)):
        axes.set(xlabel="distance in steps", ylabel="norm of d loss / d carry")
        pictures.legend_below(axes, columns)
    pictures.save(figure, settings.out / "distance.png")
    figure, (axes,) = pictures.new_figure()
    for name, norms in reversed(numbers["steps"].items()):
        axes.semilogy(np.arange(1, len(norms) + 1), norms, label=name, linewidth=0.8)
    axes.set(xlabel="training step", ylabel="norm of the gradient, before clipping")
    axes.set(title="RNN, SGD at 3: gradients while training")
    axes.legend()
    pictures.save(figure, settings.out / "clipping.png")


if __name__ == "__main__":
    command_line.main(gradients, Settings, description=__doc__)
