"""The texts of a run: what it trains on, what it is judged by."""

from typing import NamedTuple

import numpy as np

import jaxrnn
from jaxrnn.layers import Layer
from jaxrnn.text.ngrams import unigram_perplexity
from jaxrnn.typing import Params

LINE_BREAK = " "
"""What stands for a line break, as in the book."""


class Texts(NamedTuple):
    """What a run trains on and what it is judged by."""

    vocabulary: jaxrnn.Vocabulary
    ids: np.ndarray
    """The training text."""
    held_out_ids: np.ndarray
    held_out_known: np.ndarray
    """True where the vocabulary has the character; only those count."""


def prepare_texts(text: str, max_chars: int, held_out_chars: int) -> Texts:
    """Line breaks become spaces, as in the book; the vocabulary is of the training text alone.

    A text that has no more than `max_chars` keeps its last tenth, at most, for the held-out text.
    """
    text = text.replace("\n", LINE_BREAK)
    max_chars = min(max_chars, len(text) - min(held_out_chars, len(text) // 10))
    vocabulary = jaxrnn.Vocabulary.of(text[:max_chars])
    held_out = vocabulary.encode_known(text[max_chars : max_chars + held_out_chars])
    return Texts(vocabulary, vocabulary.encode(text[:max_chars]), *held_out)


def held_out_metrics(model: Layer, params: Params, texts: Texts) -> dict[str, float]:
    """Perplexities of the held-out text; empty where there is too little of it."""
    ids, known = texts.held_out_ids, texts.held_out_known
    if len(ids) < 2 or not known[1:].any():
        return {}
    return {
        "held_out_perplexity": float(jaxrnn.score(model, params, ids, known).perplexity),
        "unigram_perplexity": unigram_perplexity(texts.vocabulary, ids[1:], known[1:]),
        "held_out_unknown_share": 1 - float(known.mean()),
    }


def known_prompts(
    prompts: tuple[str, ...], defaults: tuple[str, ...], texts: Texts
) -> tuple[str, ...]:
    """The prompts to sample from.

    Prompts that the user asked for must be known to the vocabulary; of the defaults, those that are
    not are left out, and the beginning of the text stands in where none is left.
    """
    vocabulary = texts.vocabulary
    if prompts == defaults:
        known = tuple(p for p in prompts if all(c in vocabulary for c in p))
        return known or (vocabulary.decode(texts.ids[:2]),)
    for prompt in prompts:
        if not prompt:
            raise ValueError("prompts must hold at least one character each, got an empty one")
        vocabulary.check_known(prompt)
    return prompts or (vocabulary.decode(texts.ids[:2]),)
