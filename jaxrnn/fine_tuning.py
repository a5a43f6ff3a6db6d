"""Trained language models for another text: its new tokens, in vocabulary and parameters."""

import collections
import dataclasses
from typing import Literal

import jax

from jaxrnn.checks import check_choice
from jaxrnn.language_model import LanguageModel, LanguageModelParams
from jaxrnn.text import UnknownTokenError, Vocabulary, tokenize
from jaxrnn.typing import Key, Params

NewTokens = Literal["refuse", "add", "unk"]
"""What to do with tokens that a vocabulary lacks: refuse the text, append them to the vocabulary,
or read them as its unknown token."""


def add_tokens(
    model: LanguageModel,
    params: LanguageModelParams,
    vocabulary: Vocabulary,
    text: str,
    key: Key,
) -> tuple[LanguageModel, LanguageModelParams, Vocabulary]:
    """Return a model that knows the tokens of another text, too.

    The ids of known tokens stay, and so do all their numbers: for texts of known tokens, the logits
    of known tokens do not change.

    Args:
        model: a language model of V tokens, such as `load_run` returns.
        params: its parameters.
        vocabulary: its vocabulary.
        text: the text whose tokens to add.
        key: for the rows and columns of new tokens, which the model's own initialisers draw.

    Returns:
        (the model of V' >= V tokens, its parameters, `extended_vocabulary(vocabulary, text)`)

    Raises:
        TypeError: the model is not made by `language_model`.
        ValueError: the vocabulary is not the model's.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(3, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params, vocabulary = model.init(jax.random.key(0), 3), jaxrnn.Vocabulary.of("abc")
        >>> model, params, vocabulary = jaxrnn.add_tokens(
        ...     model, params, vocabulary, "abcde", jax.random.key(1)
        ... )
        >>> model.vocab_size, params.body.w_ih.shape, vocabulary.tokens
        (5, (5, 24), ('a', 'b', 'c', 'd', 'e'))
    """
    if not isinstance(model, LanguageModel):
        raise TypeError(f"model must be a language_model, got {model!r}")
    if len(vocabulary) != model.vocab_size:
        raise ValueError(
            f"vocabulary must have the model's vocab_size = {model.vocab_size} tokens, got"
            f" {len(vocabulary)}"
        )
    vocabulary = extended_vocabulary(vocabulary, text)
    output = dataclasses.replace(model.output, size=len(vocabulary))
    model = dataclasses.replace(model, output=output)
    return model, grow_params(model, params, key), vocabulary


def grow_params(model: LanguageModel, params: Params, key: Key) -> Params:
    """Return the parameters of a model of fewer tokens, enlarged for `model`.

    Whatever does not depend on the number of tokens is returned as it is.  The rest is drawn by
    `model.init(key, ...)`, and its leading rows and columns replaced by `params`.

    Raises:
        ValueError: the parameters are of a model that differs in more than the number of tokens.
    """
    drawn = model.init(key, model.vocab_size)
    if jax.tree.structure(params) != jax.tree.structure(drawn):  # type: ignore[operator]
        raise ValueError(f"params must have the structure of those of {model}")

    def grow(old: jax.Array, new: jax.Array) -> jax.Array:
        if old.shape == new.shape:
            return old
        if old.ndim != new.ndim or any(o > n for o, n in zip(old.shape, new.shape, strict=True)):
            raise ValueError(f"params of shape {old.shape} do not fit into {new.shape}")
        return new.astype(old.dtype).at[tuple(map(slice, old.shape))].set(old)

    return jax.tree.map(grow, params, drawn)


def extended_vocabulary(vocabulary: Vocabulary, text: str) -> Vocabulary:
    """Return the vocabulary with the new tokens of a text after its own, whose ids do not change.

    New tokens are ordered from most to least frequent, ties by code point.  Counts are those of
    both texts together.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.fine_tuning import extended_vocabulary
        >>> vocabulary = extended_vocabulary(jaxrnn.Vocabulary.of("aab"), "bdccd d")
        >>> vocabulary.tokens, vocabulary.counts
        (('a', 'b', 'd', 'c', ' '), (2, 2, 3, 2, 1))
    """
    counts, new = _counts(vocabulary, text)
    tokens, zeros = vocabulary.tokens + tuple(new), (0,) * len(new)
    extended = dataclasses.replace(vocabulary, tokens=tokens, counts=vocabulary.counts + zeros)
    return _add_counts(extended, counts)


def vocabulary_for(vocabulary: Vocabulary, text: str, new_tokens: NewTokens) -> Vocabulary:
    """Return the vocabulary with which a model of `vocabulary` is trained further on a text.

    Counts are those of both texts together; the unknown token has those of all that it replaces.

    Raises:
        UnknownTokenError: the text has new tokens, and they are refused; the message names them.
        ValueError: they are to be read as the unknown token, and there is none.
    """
    check_choice("new_tokens", new_tokens, ("refuse", "add", "unk"))
    if new_tokens == "add":
        return extended_vocabulary(vocabulary, text)
    counts, new = _counts(vocabulary, text)
    if new and new_tokens == "refuse":
        shown = " ".join(map(repr, list(new)[:10])) + (" ..." if len(new) > 10 else "")
        number = f"{len(new):,} {vocabulary.unit}{'s' if len(new) > 1 else ''}"
        raise UnknownTokenError(
            f"the vocabulary of {len(vocabulary):,} lacks {number},"
            f" {sum(new.values()) / counts.total():.2%} of the text: {shown}; --new-tokens add"
            " appends them to the vocabulary, --new-tokens unk reads them as its unknown token"
        )
    if vocabulary.unknown is not None:
        counts[vocabulary.unknown] += sum(new.values())
    elif new:
        raise ValueError(
            f"--new-tokens unk needs an unknown token in the vocabulary of {len(vocabulary):,}, but"
            " it has none: --new-tokens add appends the new ones"
        )
    return _add_counts(vocabulary, counts)


def _add_counts(vocabulary: Vocabulary, counts: collections.Counter[str]) -> Vocabulary:
    pairs = zip(vocabulary.tokens, vocabulary.counts, strict=True)
    return dataclasses.replace(vocabulary, counts=tuple(n + counts[token] for token, n in pairs))


def _counts(vocabulary: Vocabulary, text: str) -> tuple[collections.Counter[str], dict[str, int]]:
    """Return how often each token occurs in a text, and new tokens, the most frequent first."""
    counts = collections.Counter(tokenize(text, vocabulary.unit))
    new = {token: n for token, n in counts.items() if token not in vocabulary}
    return counts, {token: new[token] for token in sorted(new, key=lambda t: (-new[t], t))}
