"""One training step in each library, written as its users write it and as well as it can be.

A peer is a function from a workload to a function that does one step and waits for its end.
All have the same model (recurrent layers, a linear layer to the logits), mean cross-entropy,
clipping by the global norm and SGD; those that need one-hot input build it inside the step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxrnn
from benchmarks.workloads import LEARNING_RATE, MAX_GRAD_NORM, Workload, batch_of
from jaxrnn.language_model import CELLS

Step = Callable[[], None]


def make_optimizer() -> optax.GradientTransformation:
    """The optimizer of all JAX peers."""
    return optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.sgd(LEARNING_RATE))


def ours(
    workload: Workload,
    cell: jaxrnn.Cell | jaxrnn.StepCell | None = None,
    implementation: str | None = None,
) -> Step:
    """Our own, by default with the built-in cell and the engine's derivative."""
    cell = cell or CELLS[workload.cell](workload.hidden_size)
    layer = jaxrnn.recurrent(cell, implementation=implementation)
    model = jaxrnn.language_model(
        workload.vocab_size,
        jaxrnn.stack([layer] * workload.num_layers),
        embedding_size=workload.embedding_size,
    )
    optimizer = make_optimizer()
    state = jaxrnn.init_state(
        model, optimizer, workload.vocab_size, workload.batch_size, jax.random.key(0)
    )
    inputs, targets = map(jnp.asarray, batch_of(workload))
    batch = jaxrnn.Batch(inputs, targets, None, jnp.ones(workload.batch_size, bool))
    train_step = jax.jit(jaxrnn.make_train_step(model, optimizer), donate_argnums=0)

    def step() -> None:
        nonlocal state
        state, metrics = train_step(state, batch)
        metrics.nats.block_until_ready()

    return step


def ours_autodiff(workload: Workload) -> Step:
    """Our own, with the same gather of rows, but the loop differentiated by JAX."""
    return ours(workload, implementation="autodiff")


def jax_step(params: Any, logits_of: Callable[..., Any], workload: Workload) -> Step:
    """The step of a JAX peer, given its logits [T, B, V] as a function of params and ids."""
    optimizer = make_optimizer()
    opt_state = optimizer.init(params)
    inputs, targets = map(jnp.asarray, batch_of(workload))

    def loss_of(params: Any) -> Any:
        logits = logits_of(params, inputs)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params: Any, opt_state: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    def step() -> None:
        nonlocal params, opt_state
        params, opt_state, loss = train_step(params, opt_state)
        loss.block_until_ready()

    return step


def flax_nnx(workload: Workload) -> Step:
    """Flax nnx: `nnx.RNN` over its cells."""
    from flax import nnx

    cells: dict[str, Any] = {
        "rnn": nnx.SimpleCell,
        "gru": nnx.GRUCell,
        "lstm": nnx.OptimizedLSTMCell,
    }

    class LanguageModel(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            size = workload.embedding_size or workload.vocab_size
            if workload.embedding_size:
                self.embed = nnx.Embed(workload.vocab_size, size, rngs=rngs)
            sizes = [size] + [workload.hidden_size] * (workload.num_layers - 1)
            cell = cells[workload.cell]
            self.layers = nnx.List(
                nnx.RNN(cell(s, workload.hidden_size, rngs=rngs), time_major=True, rngs=rngs)
                for s in sizes
            )
            self.output = nnx.Linear(workload.hidden_size, workload.vocab_size, rngs=rngs)

        def __call__(self, ids: Any) -> Any:
            x = (
                self.embed(ids)
                if workload.embedding_size
                else jax.nn.one_hot(ids, workload.vocab_size)
            )
            for layer in self.layers:
                x = layer(x, rngs=nnx.Rngs(0))  # for its carry of zeros
            return self.output(x)

    graph, params, rest = nnx.split(LanguageModel(nnx.Rngs(0)), nnx.Param, ...)  # type: ignore[misc]
    return jax_step(params, lambda params, ids: nnx.merge(graph, params, rest)(ids), workload)


def haiku(workload: Workload) -> Step:
    """Haiku: `hk.dynamic_unroll` over its cores."""
    import haiku as hk

    cores = {"rnn": hk.VanillaRNN, "gru": hk.GRU, "lstm": hk.LSTM}

    def model(ids: Any) -> Any:
        if workload.embedding_size:
            x = hk.Embed(workload.vocab_size, workload.embedding_size)(ids)
        else:
            x = jax.nn.one_hot(ids, workload.vocab_size)
        for _ in range(workload.num_layers):
            core = cores[workload.cell](workload.hidden_size)
            x, _ = hk.dynamic_unroll(core, x, core.initial_state(workload.batch_size))
        return hk.Linear(workload.vocab_size)(x)

    transformed: Any = hk.without_apply_rng(hk.transform(model))
    params = transformed.init(jax.random.key(0), jnp.asarray(batch_of(workload)[0]))
    return jax_step(params, transformed.apply, workload)


def pytorch(workload: Workload) -> Step:
    """PyTorch, eager: `torch.nn.RNN`, `GRU` or `LSTM`, on the CPU oneDNN's."""
    import torch

    modules = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}

    class LanguageModel(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            size = workload.embedding_size or workload.vocab_size
            self.embed = (
                torch.nn.Embedding(workload.vocab_size, size) if (workload.embedding_size) else None
            )
            self.body = modules[workload.cell](size, workload.hidden_size, workload.num_layers)
            self.output = torch.nn.Linear(workload.hidden_size, workload.vocab_size)

        def forward(self, ids: Any) -> Any:
            if self.embed is None:
                x = torch.nn.functional.one_hot(ids, workload.vocab_size).float()
            else:
                x = self.embed(ids)
            return self.output(self.body(x)[0])

    model = LanguageModel()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    inputs, targets = (torch.from_numpy(ids).long() for ids in batch_of(workload))

    def step() -> None:
        optimizer.zero_grad()
        logits = model(inputs).reshape(-1, workload.vocab_size)
        torch.nn.functional.cross_entropy(logits, targets.reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()

    return step


PEERS: dict[str, Callable[[Workload], Step]] = {
    "jaxrnn": ours,
    "jaxrnn, autodiff": ours_autodiff,
    "Flax nnx": flax_nnx,
    "Haiku": haiku,
    "PyTorch": pytorch,
}
