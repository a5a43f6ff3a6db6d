"""The texts of a run: the one it trains on, and those that evaluate it.

    training | validation | held out

The validation text chooses: the best parameters, or settings.  The held-out text only judges.
"""

import functools
import itertools
import math
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxrnn.fine_tuning import NewTokens, vocabulary_for
from jaxrnn.layers import Layer
from jaxrnn.losses import bits_per_character
from jaxrnn.scoring import score
from jaxrnn.text import Corpus, Unit, Vocabulary, load_corpus, tokenize
from jaxrnn.text.ngrams import unigram_perplexity
from jaxrnn.text.sources import BUNDLED, SOURCES
from jaxrnn.text.token_file import TokenFile
from jaxrnn.text.units import join_tokens
from jaxrnn.text.vocabulary import UNKNOWN
from jaxrnn.typing import Params

Names: TypeAlias = str | tuple[str, ...]
"""A text by name, or by the paths of its files."""

BOOK = frozenset({BUNDLED, *(n for n, source in SOURCES.items() if not source.keeps_line_breaks)})
"""Corpora whose line breaks become spaces by default, as in the book."""


class Evaluated(NamedTuple):
    """A text to evaluate a model on."""

    ids: np.ndarray
    """Its tokens."""
    known: np.ndarray
    """True where the vocabulary has the token; only these are scored."""

    @property
    def is_long_enough(self) -> bool:
        """True if a token besides the first, which is never scored, is known."""
        return bool(self.known[1:].any())


NO_TEXT = Evaluated(np.zeros(0, np.int32), np.zeros(0, bool))
"""An empty text."""


class Texts(NamedTuple):
    """The tokens that a run trains on, and those that evaluate it."""

    vocabulary: Vocabulary
    """The tokens that have ids."""
    ids: np.ndarray
    """The training text."""
    held_out: Evaluated
    """The text that judges."""
    validation: Evaluated = NO_TEXT
    """The text that chooses the best parameters."""
    keep_line_breaks: bool = False
    """Whether line breaks are tokens; otherwise they became spaces."""
    separate: bool = False
    """Whether validation and held-out text are other files, not the rest of the training text."""


def prepare_texts(
    text: str,
    max_tokens: int,
    held_out_tokens: int,
    unit: Unit = "character",
    *,
    validation_tokens: int = 0,
    keep_line_breaks: bool = False,
    max_vocabulary: int | None = None,
    vocabulary: Vocabulary | None = None,
    new_tokens: NewTokens | None = None,
) -> Texts:
    """Split a text into a training, a validation and a held-out part, and tokenize all.

    If the text is too short for all three, validation and held-out part are shortened first, each
    to no less than a tenth of the text.

    Args:
        text: the text, or at least as much of it as is used.
        max_tokens: tokens to train on.
        held_out_tokens: tokens to hold out, after those for validation.
        unit: the unit of text that is one token.
        validation_tokens: tokens after those to train on, to choose the best parameters.
        keep_line_breaks: whether line breaks are tokens; otherwise they become spaces, as in the
            book.
        max_vocabulary: the most tokens of the text's own vocabulary, `<unk>` included, which stands
            for the least frequent; None keeps all, without `<unk>`.
        vocabulary: the vocabulary of a resumed or fine-tuned run; by default that of the training
            text alone.
        new_tokens: how fine-tuning adapts it to the training text; None leaves it as it is.

    Raises:
        UnknownTokenError: a token to train on is not in the vocabulary.
    """
    tokens = tokenize(text if keep_line_breaks else text.replace("\n", " "), unit)
    max_tokens, begin, end = split(len(tokens), max_tokens, validation_tokens, held_out_tokens)
    training = join_tokens(tokens[:max_tokens], unit)
    if vocabulary is not None and new_tokens is not None:
        vocabulary = vocabulary_for(vocabulary, training, new_tokens)
    vocabulary = vocabulary or own_vocabulary(training, unit, max_vocabulary)
    validation, held_out = (
        Evaluated(*vocabulary.encode_known(join_tokens(part, unit)))
        for part in (tokens[max_tokens:begin], tokens[begin:end])
    )
    return Texts(vocabulary, vocabulary.encode(training), held_out, validation, keep_line_breaks)


def split(
    num_tokens: int, max_tokens: int, validation_tokens: int, held_out_tokens: int
) -> tuple[int, int, int]:
    """Return where the training, the validation and the held-out part of a text end."""
    validation, held_out = validation_tokens, held_out_tokens
    if num_tokens < max_tokens + validation + held_out:
        validation, held_out = (min(part, num_tokens // 10) for part in (validation, held_out))
    training = min(max_tokens, num_tokens - validation - held_out)
    begin = training + validation
    return training, begin, begin + held_out_tokens


def own_vocabulary(text: str, unit: Unit, max_size: int | None) -> Vocabulary:
    """Return the vocabulary of a text; if its size is limited, `<unk>` stands for what it lacks."""
    unknown = None if max_size is None else UNKNOWN
    return Vocabulary.of(text, unit=unit, unknown=unknown, max_size=max_size)


def read_corpus(names: Names, num_tokens: int, unit: Unit, encoding: str) -> Corpus:
    """Load a corpus by its name or paths; at least `num_tokens` of it, or all that it holds."""
    fallback = BUNDLED if names == "jaychou" else None
    load = functools.partial(
        load_corpus, names, fallback=fallback, encoding=None if unit == "byte" else encoding
    )
    corpus = load(max_chars=16 * num_tokens if unit == "word" else num_tokens)  # most are shorter
    if unit != "word" or len(tokenize(corpus.text, unit)) > num_tokens:
        return corpus
    return load()  # the last word may have been cut in two


def open_tokens(
    tokens: TokenFile, max_tokens: int, validation_tokens: int, held_out_tokens: int, unit: Unit
) -> tuple[Corpus, Texts]:
    """Return corpus and texts of a tokenized file; the training text is mapped into memory.

    The vocabulary is that of the complete file.
    """
    folder = tokens.folder
    if tokens.vocabulary.unit != unit:
        raise ValueError(f"unit must be {tokens.vocabulary.unit}, as in {folder}, got {unit}")
    ends = split(tokens.num_ids, max_tokens, validation_tokens, held_out_tokens)
    validation, held_out = (
        np.array(tokens.ids()[begin:end], np.int32) for begin, end in itertools.pairwise(ends)
    )
    source = f"{tokens.num_ids:,} tokens in {folder}"
    texts = Texts(
        tokens.vocabulary,
        tokens.ids(ends[0]),
        _evaluated(held_out, tokens.vocabulary),
        _evaluated(validation, tokens.vocabulary),
        tokens.keep_line_breaks,
    )
    return Corpus(str(folder), "", tokens.digest, source), texts


def _evaluated(ids: np.ndarray, vocabulary: Vocabulary) -> Evaluated:
    """Return a tokenized text, in which the unknown token stands for whatever is not known."""
    if vocabulary.unknown is None:
        return Evaluated(ids, np.ones(len(ids), bool))
    return Evaluated(ids, ids != vocabulary.tokens.index(vocabulary.unknown))


def perplexity_of(model: Layer, params: Params, text: Evaluated) -> float | None:
    """Return the perplexity of a text; None if it is too short."""
    if not text.is_long_enough:
        return None
    return float(score(model, params, text.ids, text.known).perplexity)


def held_out_metrics(model: Layer, params: Params, texts: Texts) -> dict[str, float]:
    """Return the perplexities of the held-out text; empty if it is too short."""
    held_out = perplexity_of(model, params, texts.held_out)
    if held_out is None:
        return {}
    ids, known = texts.held_out
    return {
        "held_out_perplexity": held_out,
        "held_out_bits_per_token": bits_per_character(math.log(held_out)),
        "unigram_perplexity": unigram_perplexity(texts.vocabulary, ids[1:], known[1:]),
        "held_out_unknown_share": 1 - float(known.mean()),
    }


def known_prompts(
    prompts: tuple[str, ...], defaults: tuple[str, ...], texts: Texts
) -> tuple[str, ...]:
    """Return the prompts to sample from.

    Prompts from the user must consist of known tokens.  Default prompts with unknown tokens are
    dropped; if none is left, the first known tokens of the text are the prompt.
    """
    vocabulary, unit = texts.vocabulary, texts.vocabulary.unit
    tokens = (vocabulary.tokens[i] for i in texts.ids)
    known_tokens = (token for token in tokens if token != vocabulary.unknown)
    beginning = join_tokens(itertools.islice(known_tokens, 2), unit)
    if prompts == defaults:
        known = tuple(p for p in prompts if all(t in vocabulary for t in tokenize(p, unit)))
        return known or (beginning,)
    for prompt in prompts:
        vocabulary.check_prompt(prompt)
    return prompts or (beginning,)
