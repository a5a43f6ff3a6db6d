"""Language models: from tokens to the logits of the next one."""

from dataclasses import dataclass
from typing import Literal

from jaxrnn.cells import gru, lstm, rnn
from jaxrnn.checks import check_choice, check_positive_integer
from jaxrnn.layers import Layer, embedding, linear, recurrent, stack
from jaxrnn.typing import Initializer

CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm}


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
        kernel_init, bias_init: of the output layer, as for `linear`.

    Returns:
        A Layer from token ids `[T, B]` to logits `[T, B, V]`; make its parameters by
        `model.init(key, vocab_size)`.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1, or the body is not causal.
    """
    check_positive_integer("vocab_size", vocab_size)
    if not (body.causal or allow_future):
        raise ValueError(
            "body must be causal: a bidirectional layer sees the token it is to predict"
            " (pass allow_future=True if that is what you want to show)"
        )
    output = linear(vocab_size, kernel_init=kernel_init, bias_init=bias_init)
    if embedding_size is None:
        return stack([body, output])
    return stack([embedding(embedding_size), body, output])


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
