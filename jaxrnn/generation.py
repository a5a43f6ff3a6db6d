"""Generation: continuing prompts with a language model."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.checks import (
    FLOAT32_MAX,
    INT32_MAX,
    check_array,
    check_number,
    check_positive_integer,
    check_range,
    check_shape,
    widen_ids,
)
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_layer
from jaxrnn.sequences import pad
from jaxrnn.text import Vocabulary
from jaxrnn.text.vocabulary import join_tokens
from jaxrnn.typing import AnyArray, Array, Int, Integer, Key, Params


class Sampling(NamedTuple):
    """Options for drawing the next token from the logits."""

    temperature: float = 0.0
    """The divisor of the logits; 0 always takes the most likely token."""
    top_k: int | None = None
    """The number of most likely tokens to draw from; None means all."""
    top_p: float = 1.0
    """The total probability of the smallest set of tokens to draw from (Holtzman et al., The
    curious case of neural text degeneration, 2019, arXiv:1904.09751)."""


def generate(
    model: Layer,
    params: Params,
    vocabulary: Vocabulary,
    prompts: Sequence[str],
    num_tokens: int,
    *,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
    allow_unknown: bool = False,
) -> list[str]:
    """Continue a batch of prompts in one compiled call.

    Args:
        model: a causal language model.
        params: its parameters.
        vocabulary: the vocabulary that it was trained with.
        prompts: texts of at least one token each; their lengths may differ.
        num_tokens: the number of tokens to add to each prompt.
        sampling: how to draw them; greedily by default.
        key: the random key for drawing; not needed if the temperature is 0.
        allow_unknown: replace tokens that are not in the vocabulary by its unknown token.

    Returns:
        Each prompt with its continuation.

    Raises:
        UnknownTokenError: a prompt holds tokens that are not in the vocabulary.
        ValueError: a prompt is empty, a number is out of range, or the model's logits are NaN.
        TypeError: a number has the wrong type.

    Example:
        >>> import jax, jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be")
        >>> model = jaxrnn.language_model(len(vocabulary), jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), len(vocabulary))
        >>> texts = jaxrnn.generate(model, params, vocabulary, ["to ", "or"], num_tokens=5)
        >>> [len(text) for text in texts]
        [8, 7]
    """
    if isinstance(prompts, str):
        raise TypeError(f"prompts must be a sequence of texts, got the text {prompts!r}")
    if not prompts:
        raise ValueError("prompts must hold at least one text, got none")
    for prompt in prompts:
        vocabulary.check_prompt(prompt, allow_unknown=allow_unknown)
    # Padded to a multiple of 16 steps: most prompt lengths reuse a compiled program.
    ids, lengths = pad([vocabulary.encode(prompt) for prompt in prompts], multiple_of=16)
    added_ids = generate_ids(
        model, params, ids, num_tokens, lengths=lengths, sampling=sampling, key=key
    )
    return [
        join_tokens((prompt, vocabulary.decode(added)), vocabulary.unit)
        for prompt, added in zip(prompts, np.asarray(added_ids).T, strict=True)
    ]


def generate_ids(
    model: Layer,
    params: Params,
    prompt_ids: Integer[AnyArray, "T B"],
    num_tokens: int,
    *,
    lengths: Integer[AnyArray, "B"] | None = None,
    sampling: Sampling = Sampling(),
    key: Key | None = None,
) -> Int[Array, "num_tokens B"]:
    """Continue a batch of prompts that are given as token ids.

    Args:
        model, params, num_tokens, sampling, key: as for `generate`.
        prompt_ids: one prompt per column, padded at the end.
        lengths: the number of valid tokens in each prompt, at least 1; None means all.

    Returns:
        The ids of the added tokens, one continuation per column.

    Raises:
        ValueError: a number or id is out of range, the model is not causal or not time-major, or
            its logits are NaN.
        TypeError: the ids are not integers, or `model` or a number has the wrong type.

    Example:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), 28)
        >>> prompt_ids = jax.numpy.array([[3, 1], [4, 1]])
        >>> jaxrnn.generate_ids(model, params, prompt_ids, num_tokens=5).shape
        (5, 2)
    """
    check_layer("model", model)
    check_positive_integer("num_tokens", num_tokens, INT32_MAX)
    if not model.causal:
        raise ValueError("model must be causal: one that sees the future cannot continue a text")
    vocab_size = model.output_size(0)
    prompt_ids = widen_ids("prompt_ids", prompt_ids, vocab_size)
    if prompt_ids.ndim != 2 or 0 in prompt_ids.shape:
        raise ValueError(f"prompt_ids must be [T, B] and not empty, got shape {prompt_ids.shape}")
    check_number("temperature", sampling.temperature, low=0.0)
    check_number("top_p", sampling.top_p, low=0.0, high=1.0)
    if sampling.top_k is not None:
        check_positive_integer("top_k", sampling.top_k, vocab_size)
    if sampling.temperature > 0 and key is None:
        raise ValueError("key must be given if the temperature is above 0, got None")
    num_steps, batch_size = prompt_ids.shape
    if lengths is None:
        lengths = np.full(batch_size, num_steps, np.int32)
    check_array("lengths", lengths)
    check_shape("lengths", lengths.shape, (batch_size,), "[B]")
    check_range("lengths", lengths, num_steps, low=1)
    greedy = sampling.temperature < 1e-30  # much smaller ones are 0 in float32
    tokens, finite = _continue(
        model,
        num_tokens,
        sampling.top_k,
        params,
        jnp.asarray(prompt_ids),
        jnp.asarray(lengths),
        None if greedy else key,
        jnp.float32(min(sampling.temperature, FLOAT32_MAX)),
        jnp.float32(sampling.top_p),
    )
    if not isinstance(finite, jax.core.Tracer) and not finite:
        raise ValueError("the model's logits are not finite: look for NaN in params")
    return tokens


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _continue(
    model: Layer,
    num_tokens: int,
    top_k: int | None,
    params: Params,
    prompt_ids: Any,
    lengths: Any,
    key: Key | None,
    temperature: Any,
    top_p: Any,
) -> Any:
    """Read the prompts, then draw token by token, greedily if `key` is None.

    Also returns whether no logit was NaN or +inf; a model may exclude tokens with -inf.
    """
    batch_size = prompt_ids.shape[1]
    carry = model.initial_carry(params, batch_size)
    logits, carry = model.apply(params, prompt_ids, carry, lengths=lengths)
    last_logits = logits[lengths - 1, jnp.arange(batch_size)]

    def step(state: Any, step_key: Any) -> Any:
        logits, carry = state
        finite = (logits < jnp.inf).all()
        if step_key is None:
            token = _most_likely(logits)
        else:
            below_best = logits - logits.max(axis=-1, keepdims=True)  # logits / 1e-30 overflows
            token = _draw(below_best / temperature, step_key, top_k, top_p)
        logits, carry = model.apply(params, token[None], carry)
        return (logits[0], carry), (token, finite)

    keys = None if key is None else jax.random.split(key, num_tokens)
    _, (tokens, finite) = lax.scan(step, (last_logits, carry), keys, length=num_tokens)
    return tokens, finite.all()


def _most_likely(logits: Any) -> Any:
    """Return the most likely token of each row; the first one in a tie.

    XLA vectorises each of these two reductions.  Its `argmax`, a reduction of pairs, took a quarter
    of the time of an RNN's step over 1,027 tokens.
    """
    tokens = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None]
    largest = logits == logits.max(axis=-1, keepdims=True)
    return jnp.where(largest, tokens, tokens[:, -1:]).min(axis=-1)


def _draw(logits: Any, key: Key, top_k: int | None, top_p: Any) -> Any:
    """Draw a token for each row `[B, V]`; the most likely token is never excluded."""
    k = logits.shape[-1] if top_k is None else top_k
    descending, tokens = lax.top_k(logits, k)
    probabilities = jax.nn.softmax(descending, axis=-1)
    mass_before = jnp.cumsum(probabilities, axis=-1) - probabilities
    included = (mass_before < top_p).at[:, 0].set(True)
    choice = jax.random.categorical(key, jnp.where(included, descending, -jnp.inf))
    return jnp.take_along_axis(tokens, choice[:, None], axis=-1)[:, 0]
