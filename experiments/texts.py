"""The texts of a run: what it trains on, what it is judged by."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxrnn
from jaxrnn.layers import Layer
from jaxrnn.text import Corpus, Unit, tokenize
from jaxrnn.text.ngrams import unigram_perplexity
from jaxrnn.text.token_file import open_token_file
from jaxrnn.training import bits_per_character
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
    """True where the vocabulary has the token; only those count."""


def prepare_texts(
    text: str, max_tokens: int, held_out_tokens: int, unit: Unit = "character"
) -> Texts:
    """Line breaks become spaces, as in the book; the vocabulary is of the training text alone.

    A text that has no more than `max_tokens` keeps its last tenth, at most, for the held-out text.
    """
    tokens = tokenize(text.replace("\n", LINE_BREAK), unit)
    max_tokens = min(max_tokens, len(tokens) - min(held_out_tokens, len(tokens) // 10))
    joint = "" if unit == "character" else " "
    training = joint.join(tokens[:max_tokens])
    vocabulary = jaxrnn.Vocabulary.of(training, unit=unit)
    held_out = joint.join(tokens[max_tokens : max_tokens + held_out_tokens])
    return Texts(vocabulary, vocabulary.encode(training), *vocabulary.encode_known(held_out))


def open_tokens(
    folder: Path, max_tokens: int, held_out_tokens: int, unit: Unit
) -> tuple[Corpus, Texts]:
    """Those of a text that has been tokenized: the training text is mapped into memory.

    The vocabulary is that of the whole.
    """
    tokens = open_token_file(folder)
    if tokens.vocabulary.unit != unit:
        raise ValueError(f"unit must be that of {folder}, {tokens.vocabulary.unit}, got {unit}")
    held_out_tokens = min(held_out_tokens, tokens.num_ids // 10)
    max_tokens = min(max_tokens, tokens.num_ids - held_out_tokens)
    held_out = np.array(tokens.ids()[max_tokens : max_tokens + held_out_tokens], np.int32)
    source = f"{tokens.num_ids:,} tokens in {folder}"
    texts = Texts(tokens.vocabulary, tokens.ids(max_tokens), held_out, held_out >= 0)
    return Corpus(str(folder), "", tokens.digest, source), texts


def held_out_metrics(model: Layer, params: Params, texts: Texts) -> dict[str, float]:
    """Perplexities of the held-out text; empty where there is too little of it."""
    ids, known = texts.held_out_ids, texts.held_out_known
    if len(ids) < 2 or not known[1:].any():
        return {}
    held_out = float(jaxrnn.score(model, params, ids, known).perplexity)
    return {
        "held_out_perplexity": held_out,
        "held_out_bits_per_token": bits_per_character(math.log(held_out)),
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
    vocabulary, unit = texts.vocabulary, texts.vocabulary.unit
    if prompts == defaults:
        known = tuple(p for p in prompts if all(t in vocabulary for t in tokenize(p, unit)))
        return known or (vocabulary.decode(texts.ids[:2]),)
    for prompt in prompts:
        if not tokenize(prompt, unit):
            raise ValueError(f"prompts must hold at least one {unit} each, got {prompt!r}")
        vocabulary.check_known(prompt)
    return prompts or (vocabulary.decode(texts.ids[:2]),)
