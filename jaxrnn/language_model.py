"""Language models: from tokens to the logits of the next one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax

from jaxrnn.cells import Cell, StepCell, gru, lstm, rnn
from jaxrnn.checks import (
    FLOAT32_MAX,
    INT32_MAX,
    check_choice,
    check_number,
    check_positive_integer,
)
from jaxrnn.layers import (
    Layer,
    LinearParams,
    dropout,
    embedding,
    linear,
    recurrent,
    stack,
)
from jaxrnn.layers.initializers import symmetric_uniform
from jaxrnn.typing import Initializer, Key, Params

MAX_LAYERS = 1000
"""Each layer is compiled by itself, which takes about a second."""

CELLS: dict[str, Callable[[int], Cell | StepCell]] = {"rnn": rnn, "gru": gru, "lstm": lstm}


class LanguageModelParams(NamedTuple):
    """The parameters of a language model."""

    embedding: Params
    """The table [V, embedding_size]; () where the input is one-hot."""
    body: Params
    """Of the layer in the middle."""
    output: Params
    """Of the linear layer that makes the logits; its bias alone where the embeddings are tied."""


def language_model(
    vocab_size: int,
    body: Layer,
    *,
    embedding_size: int | None = None,
    embedding_dropout: float = 0.0,
    tie_embeddings: bool = False,
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
        embedding_dropout: the rate at which rows of the embedding are dropped in training, as for
            `embedding`.
        tie_embeddings: let the logits be the products of the body's outputs with the embedding's
            rows, which saves V x embedding_size parameters; the body's output size must be
            `embedding_size` (Press and Wolf, Using the output embedding to improve language models,
            2016, arXiv:1608.05859).
        allow_future: accept a body that is not causal.  It sees its own target, so its perplexity
            means nothing and its text is useless; the book shows just that.
        kernel_init: of the embedding and of the output layer, as for `linear`.
        bias_init: of the output layer.

    Returns:
        A Layer from token ids `[T, B]` to logits `[T, B, V]`, whose input size is V, whose carry is
        the body's, and whose params are `LanguageModelParams`.

    Raises:
        TypeError: a size is not an integer, or the body not a Layer.
        ValueError: a number is out of range, the body is not causal, there is no embedding to tie
            or drop, or the model is initialised for another input size.
    """
    check_positive_integer("vocab_size", vocab_size)
    if not isinstance(body, Layer):
        raise TypeError(f"body must be of type Layer, got {body!r}")
    if not (body.causal or allow_future):
        raise ValueError(
            "body must be causal: a bidirectional layer sees the token it is to predict"
            " (pass allow_future=True if that is what you want to show)"
        )
    if embedding_size is None and (tie_embeddings or embedding_dropout):
        raise ValueError("tie_embeddings and embedding_dropout need an embedding_size, got None")
    vectors = None
    if embedding_size is not None:
        check_number("embedding_dropout", embedding_dropout, low=0.0, high=1.0)
        vectors = embedding(embedding_size, table_init=kernel_init, dropout=embedding_dropout)
        if tie_embeddings and body.output_size(embedding_size) != embedding_size:
            raise ValueError(
                f"tie_embeddings needs a body whose output size is embedding_size ="
                f" {embedding_size}, got {body.output_size(embedding_size)}"
            )
    output = linear(vocab_size, kernel_init=kernel_init, bias_init=bias_init)

    def output_size(input_size: int) -> int:
        return vocab_size

    def init(key: Key, input_size: int) -> LanguageModelParams:
        if input_size != vocab_size:
            raise ValueError(f"input_size must be vocab_size = {vocab_size}, got {input_size}")
        embedding_key, body_key, output_key = jax.random.split(key, 3)
        width = vocab_size if embedding_size is None else embedding_size
        hidden_size = body.output_size(width)
        output_params = output.init(output_key, hidden_size)
        if tie_embeddings:
            output_params = output_params.bias
        return LanguageModelParams(
            embedding=() if vectors is None else vectors.init(embedding_key, vocab_size),
            body=body.init(body_key, width),
            output=output_params,
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
        embedding_key, body_key = (None, None) if key is None else jax.random.split(key)
        if vectors is not None:
            inputs, _ = vectors.apply(
                params.embedding, inputs, (), lengths=lengths, key=embedding_key
            )
        hidden, carry = body.apply(
            params.body,
            inputs,
            carry,
            lengths=lengths,
            resets=resets,
            reset_carry=reset_carry,
            key=body_key,
        )
        tied = LinearParams(params.embedding.T, params.output) if tie_embeddings else params.output
        logits, _ = output.apply(tied, hidden, (), lengths=lengths)
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
    init_scale: float | None = None
    """Of uniform initial weights, everywhere: +-init_scale in place of +-1/sqrt(H)."""
    forget_gate_bias: float | None = None
    """Initial bias of the LSTM's forget gates; None leaves it to `init`."""
    dropout: float = 0.0
    """Rate between the layers, and before and after them, in training."""
    variational_dropout: bool = False
    """One mask for all steps of a window instead of one a step."""
    embedding_dropout: float = 0.0
    """Rate at which tokens of the embedding are dropped in training."""
    tie_embeddings: bool = False
    """Whether the embedding makes the logits, too; its size is then the hidden size."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the matrix products and of what layers hand on; all else is float32."""

    def __post_init__(self) -> None:
        check_choice("cell", self.cell, tuple(CELLS))
        check_positive_integer("num_layers", self.num_layers, MAX_LAYERS)
        check_positive_integer("hidden_size", self.hidden_size, INT32_MAX)
        if self.embedding_size is not None:
            check_positive_integer("embedding_size", self.embedding_size, INT32_MAX)
        check_choice("init", self.init, ("normal", "uniform", "orthogonal"))
        if self.init_scale is not None:
            check_number("init_scale", self.init_scale, low=0.0, high=FLOAT32_MAX)
            if self.init != "uniform":
                raise ValueError(f"init_scale is of the init uniform, got {self.init}")
        if self.forget_gate_bias is not None and self.cell != "lstm":
            raise ValueError(f"forget_gate_bias is the LSTM's, got the cell {self.cell}")
        check_number("dropout", self.dropout, low=0.0, high=1.0)
        check_number("embedding_dropout", self.embedding_dropout, low=0.0, high=1.0)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        if self.variational_dropout and self.dropout == 0:
            raise ValueError("variational_dropout needs a dropout above 0, got 0")
        if self.embedding_dropout > 0 and self.embedding_size is None:
            raise ValueError("embedding_dropout needs an embedding_size, got None")
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"tie_embeddings needs embedding_size = hidden_size = {self.hidden_size}, got"
                f" {self.embedding_size}"
            )


def build(config: ModelConfig, vocab_size: int) -> Layer:
    """The language model that the configuration describes."""
    kernel_init: str | Initializer = config.init
    if config.init_scale is not None:
        kernel_init = symmetric_uniform(config.init_scale)
    bias_init = kernel_init if config.init == "uniform" else "zeros"
    layer = recurrent(
        CELLS[config.cell](config.hidden_size),
        kernel_init=kernel_init,
        bias_init=bias_init,
        forget_gate_bias=config.forget_gate_bias,
        dtype=None if config.dtype == "float32" else config.dtype,
    )
    layers = [layer] * config.num_layers
    if config.dropout > 0:
        drop = dropout(config.dropout, variational=config.variational_dropout)
        first = [] if config.embedding_size is None else [drop]  # ids have no units to drop
        layers = first + [each for layer in layers for each in (layer, drop)]
    return language_model(
        vocab_size,
        stack(layers),
        embedding_size=config.embedding_size,
        embedding_dropout=config.embedding_dropout,
        tie_embeddings=config.tie_embeddings,
        kernel_init=kernel_init,
        bias_init=bias_init,
    )
