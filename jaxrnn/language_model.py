"""Language models: from tokens to the logits of the next one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax

from jaxrnn.cells import Cell, StepCell, gru, lstm, rnn
from jaxrnn.checks import check_choice, check_positive_integer
from jaxrnn.layers import Layer, embedding, linear, recurrent, stack
from jaxrnn.typing import Initializer, Key, Params

CELLS: dict[str, Callable[[int], Cell | StepCell]] = {"rnn": rnn, "gru": gru, "lstm": lstm}


class LanguageModelParams(NamedTuple):
    """The parameters of a language model."""

    embedding: Params
    """The table [V, embedding_size]; () where the input is one-hot."""
    body: Params
    """Of the layer in the middle."""
    output: Params
    """Of the linear layer that makes the logits."""


def language_model(
    vocab_size: int,
    body: Layer,
    *,
    embedding_size: int | None = None,
    allow_future: bool = False,
    kernel_init: str | Initializer = "uniform",
    bias_init: str | Initializer = "uniform",
) -> Layer:
    """A model of the next token: [embedding,] body, linear.

    Args:
        vocab_size: V.
        body: any Layer, such as `stack([recurrent(lstm(256)), recurrent(lstm(256))])`.
        embedding_size: the width of a learned embedding; None feeds the body one-hot rows, as
            "Dive into Deep Learning" does, without ever building them.
        allow_future: accept a body that is not causal.  It sees its own target, so its perplexity
            means nothing and its text is useless; the book shows just that.
        kernel_init: of the embedding and of the output layer, as for `linear`.
        bias_init: of the output layer.

    Returns:
        A Layer from token ids `[T, B]` to logits `[T, B, V]`, whose input size is V, whose carry is
        the body's, and whose params are `LanguageModelParams`.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1, the body is not causal, or the model is initialised for
            another input size.
    """
    check_positive_integer("vocab_size", vocab_size)
    if not (body.causal or allow_future):
        raise ValueError(
            "body must be causal: a bidirectional layer sees the token it is to predict"
            " (pass allow_future=True if that is what you want to show)"
        )
    vectors = None if embedding_size is None else embedding(embedding_size, table_init=kernel_init)
    output = linear(vocab_size, kernel_init=kernel_init, bias_init=bias_init)

    def output_size(input_size: int) -> int:
        return vocab_size

    def init(key: Key, input_size: int) -> LanguageModelParams:
        if input_size != vocab_size:
            raise ValueError(f"input_size must be vocab_size = {vocab_size}, got {input_size}")
        embedding_key, body_key, output_key = jax.random.split(key, 3)
        width = vocab_size if embedding_size is None else embedding_size
        return LanguageModelParams(
            embedding=() if vectors is None else vectors.init(embedding_key, vocab_size),
            body=body.init(body_key, width),
            output=output.init(output_key, body.output_size(width)),
        )

    def initial_carry(params: LanguageModelParams, batch_size: int) -> Any:
        return body.initial_carry(params.body, batch_size)

    def apply(
        params: LanguageModelParams,
        inputs: Any,
        carry: Any,
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: Any = None,
        key: Key | None = None,
    ) -> tuple[Any, Any]:
        if vectors is not None:
            inputs, _ = vectors.apply(params.embedding, inputs, (), lengths=lengths)
        hidden, carry = body.apply(
            params.body,
            inputs,
            carry,
            lengths=lengths,
            resets=resets,
            reset_carry=reset_carry,
            key=key,
        )
        logits, _ = output.apply(params.output, hidden, (), lengths=lengths)
        return logits, carry

    parts = (vectors, body, output)
    return Layer("language_model", output_size, init, initial_carry, apply, body.causal, parts)


@dataclass(frozen=True)
class ModelConfig:
    """A language model in words and numbers: what a checkpoint records and `build` builds."""

    cell: Literal["rnn", "gru", "lstm"] = "rnn"
    """The recurrent cell."""
    num_layers: int = 1
    """Recurrent layers, one upon the other."""
    hidden_size: int = 256
    """Units of each recurrent layer."""
    embedding_size: int | None = None
    """Width of a learned embedding; None for one-hot input, as the book."""
    init: Literal["normal", "uniform", "orthogonal"] = "normal"
    """Initial weights: normal, N(0, 0.01^2) and zero biases, as the book; uniform, +-1/sqrt(H) for
    weights and biases, as PyTorch; orthogonal, with zero biases."""

    def __post_init__(self) -> None:
        check_choice("cell", self.cell, tuple(CELLS))
        check_positive_integer("num_layers", self.num_layers)
        check_positive_integer("hidden_size", self.hidden_size)
        if self.embedding_size is not None:
            check_positive_integer("embedding_size", self.embedding_size)
        check_choice("init", self.init, ("normal", "uniform", "orthogonal"))


def build(config: ModelConfig, vocab_size: int) -> Layer:
    """The language model that the configuration describes."""
    bias_init = "uniform" if config.init == "uniform" else "zeros"
    layer = recurrent(
        CELLS[config.cell](config.hidden_size), kernel_init=config.init, bias_init=bias_init
    )
    return language_model(
        vocab_size,
        stack([layer] * config.num_layers),
        embedding_size=config.embedding_size,
        kernel_init=config.init,
        bias_init=bias_init,
    )
