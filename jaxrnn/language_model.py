"""Language models: layers from tokens to the logits of the next token."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_ids, check_positive_integer
from jaxrnn.layers import (
    Dropout,
    Embedding,
    Layer,
    Linear,
    LinearParams,
    dropout,
    embedding,
    linear,
)
from jaxrnn.layers.layer import check_layer
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.typing import Array, Float, HostArray, Initializer, Int, Key, Params


class LanguageModelParams(NamedTuple):
    """The parameters of a language model."""

    embedding: Params
    """The table `[V, embedding_size]`; () if the input is one-hot."""
    body: Params
    """The parameters of the layer in the middle."""
    output: Params
    """The parameters of the output layer; only its bias if the embeddings are tied."""


class Activations(NamedTuple):
    """The outputs of a language model's body."""

    outputs: Float[Array, "T B F"]
    """What the body returns."""
    dropped: Float[Array, "T B F"]
    """What the output layer reads: `outputs` after dropout."""


@dataclass(frozen=True, repr=False)
class LanguageModel(Layer):
    """A model of the next token, made by `language_model`.

    Examples:
        >>> import jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> model.vocab_size, model.embedding, model.output
        (28, None, Linear(28))
    """

    body: Layer
    """The layer between embedding and output layer."""
    embedding: Embedding | None
    """The embedding; None if the body reads one-hot rows."""
    output: Linear
    """The linear layer that computes the logits."""
    tie_embeddings: bool = False
    """True if the output layer uses the embedding's table as its kernel."""
    output_dropout: Dropout | None = None
    """The dropout between body and output layer, if any."""

    def __post_init__(self) -> None:
        if self.tie_embeddings and self.embedding is not None:
            width = self.embedding.size
            if (size := self.body.output_size(width)) != width:
                raise ValueError(
                    "tie_embeddings needs a body whose output size is embedding_size ="
                    f" {width}, got {size}"
                )

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary, V."""
        return self.output.size

    @property
    def causal(self) -> bool:
        """True if the body is causal."""
        return self.body.causal

    def output_size(self, input_size: int) -> int:
        """Return V, for inputs of any size."""
        return self.vocab_size

    def init(self, key: Key, input_size: int) -> LanguageModelParams:
        """Draw the parameters of the embedding, the body and the output layer."""
        vocab_size = self.vocab_size
        if input_size != vocab_size:
            raise ValueError(f"input_size must be vocab_size = {vocab_size}, got {input_size}")
        embedding_key, body_key, output_key = jax.random.split(key, 3)
        width = vocab_size if self.embedding is None else self.embedding.size
        output = self.output.init(output_key, self.body.output_size(width))
        return LanguageModelParams(
            () if self.embedding is None else self.embedding.init(embedding_key, vocab_size),
            self.body.init(body_key, width),
            output.bias if self.tie_embeddings else output,
        )

    def initial_carry(self, params: LanguageModelParams, batch_size: int) -> Any:
        """Return the initial carry of the body."""
        _check_params(params)
        return self.body.initial_carry(params.body, batch_size)

    def run(
        self, params: LanguageModelParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        activations, carry = self.run_body(params, inputs, carry, context)
        return self.run_output(params, activations, context), carry

    def run_output(
        self, params: LanguageModelParams, activations: Activations, context: Context
    ) -> Float[Array, "T B V"]:
        """Run the output layer."""
        logits, _ = self.output.run(self.output_params(params), activations.dropped, (), context)
        return logits

    def run_body(
        self, params: LanguageModelParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Activations, Any]:
        """Run everything but the output layer; return what it reads, and the carry."""
        _check_params(params)
        keys = (None,) * 3 if context.key is None else jax.random.split(context.key, 3)
        if self.embedding is not None:
            embedding_context = context._replace(key=keys[0])
            inputs, _ = self.embedding.run(params.embedding, inputs, (), embedding_context)
        outputs, carry = self.body.run(params.body, inputs, carry, context._replace(key=keys[1]))
        if self.output_dropout is None:
            return Activations(outputs, outputs), carry
        own = context._replace(key=keys[2])
        dropped, _ = self.output_dropout.run((), outputs, (), own)
        return Activations(outputs, dropped), carry

    def parts(self, params: LanguageModelParams) -> Iterator[tuple[Layer, Params]]:
        """Yield the embedding, the body and the output layer with their parameters."""
        if self.embedding is not None:
            yield self.embedding, params.embedding
        yield self.body, params.body
        if self.output_dropout is not None:
            yield self.output_dropout, ()
        yield self.output, params.output

    def output_params(self, params: LanguageModelParams) -> LinearParams:
        """Return the kernel and the bias of the output layer, even if the embeddings are tied."""
        if self.tie_embeddings:
            return LinearParams(params.embedding.T, params.output)
        return params.output

    def with_unigram_bias(
        self, params: LanguageModelParams, ids: Int[HostArray, "t"]
    ) -> LanguageModelParams:
        """Return the parameters with log-frequencies of tokens as the output layer's bias.

        While its other numbers are small, such a model predicts each token as often as it occurs in
        the text, and it has only the differences left to learn (Karpathy 2019, "A recipe for
        training neural networks").  Half a time is added to each, so that none is impossible.

        Examples:
            >>> import jax, jaxrnn, numpy as np
            >>> model = jaxrnn.language_model(3, jaxrnn.recurrent(jaxrnn.gru(8)))
            >>> params = model.init(jax.random.key(0), 3)
            >>> params = model.with_unigram_bias(params, np.array([0, 0, 0, 1]))
            >>> (5.5 * np.exp(params.output.bias)).round(2).tolist()
            [3.5, 1.5, 0.5]
        """
        check_ids("ids", ids, self.vocab_size)
        parts = np.array_split(ids, 1 + len(ids) // 2**24)  # a text may be larger than the memory
        counts = 0.5 + np.sum([np.bincount(part, minlength=self.vocab_size) for part in parts], 0)
        old = self.output_params(params).bias
        bias = jnp.asarray(np.log(counts / counts.sum()), old.dtype)
        output = bias if self.tie_embeddings else params.output._replace(bias=bias)
        return params._replace(output=output)


def language_model(
    vocab_size: int,
    body: Layer,
    *,
    embedding_size: int | None = None,
    embedding_dropout: float = 0.0,
    output_dropout: float | Dropout = 0.0,
    tie_embeddings: bool = False,
    allow_future: bool = False,
    kernel_init: str | Initializer = "uniform",
    bias_init: str | Initializer = "uniform",
) -> LanguageModel:
    """Return a model of the next token: an optional embedding, a body and a linear output layer.

    Args:
        vocab_size: the number of tokens, V.
        body: any Layer, such as `stack([recurrent(lstm(256)), recurrent(lstm(256))])`.
        embedding_size: the width of a learned embedding; None feeds the body one-hot rows, as
            "Dive into Deep Learning" does, without ever building them.
        embedding_dropout: the rate at which rows of the embedding are dropped in training, as for
            `embedding`.
        output_dropout: the rate of the dropout between body and output layer, or a layer such as
            `dropout(0.5, variational=True)`.  As the last layer of `body` it would do the same, but
            a `losses.ActivationPenalty` on changes is for the outputs before it.
        tie_embeddings: use the embedding's table as the kernel of the output layer, which saves
            V x embedding_size parameters; the body's output size must be `embedding_size` (Press
            and Wolf, Using the output embedding to improve language models, 2016,
            arXiv:1608.05859).
        allow_future: accept a body that is not causal.  It sees its own target: its perplexity
            means nothing and its text is useless, which is what the book shows.
        kernel_init: the initialiser of the embedding and of the output layer's kernel, as for
            `linear`.
        bias_init: the initialiser of the output layer's bias.

    Returns:
        A Layer from token ids `[T, B]` to logits `[T, B, V]`.  Its input size is V, its carry is
        the body's, and its params are `LanguageModelParams`.

    Raises:
        TypeError: a size is not an integer, or the body is not a Layer.
        ValueError: a number is out of range, the body is not causal, there is no embedding to tie
            or drop, or the model is initialised for another input size.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.lstm(8)), embedding_size=4)
        >>> params = model.init(jax.random.key(0), 28)
        >>> logits, carry = model.apply(params, jax.numpy.zeros((5, 2), int))
        >>> logits.shape
        (5, 2, 28)
    """
    check_positive_integer("vocab_size", vocab_size)
    check_layer("body", body)
    if not (body.causal or allow_future):
        raise ValueError(
            "body must be causal: a reversed or bidirectional layer sees the token that it should"
            " predict"
            " (pass allow_future=True to allow that)"
        )
    if embedding_size is None and (tie_embeddings or embedding_dropout):
        raise ValueError("tie_embeddings and embedding_dropout need an embedding_size, got None")
    vectors = None
    if embedding_size is not None:
        vectors = embedding(embedding_size, table_init=kernel_init, dropout=embedding_dropout)
    output = linear(vocab_size, kernel_init=kernel_init, bias_init=bias_init)
    if not isinstance(output_dropout, Dropout):
        output_dropout = dropout(output_dropout)
    drop = output_dropout if output_dropout.rate else None
    return LanguageModel(body, vectors, output, tie_embeddings, drop)


def _check_params(params: Any) -> None:
    if not isinstance(params, LanguageModelParams):
        raise TypeError(f"params must be LanguageModelParams, got {type(params).__name__}")
