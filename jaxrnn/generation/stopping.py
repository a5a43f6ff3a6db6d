"""Stop sequences: tokens after which a row ends."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_ids, check_integer
from jaxrnn.text import UnknownTokenError, Vocabulary
from jaxrnn.typing import AnyArray, HostArray, Int

StopIds: TypeAlias = Iterable[int | Sequence[int] | AnyArray]
"""Ids that each end a row, or sequences of ids."""

ANYTHING = -1
"""Equals every token: it fills the beginnings of shorter stop sequences."""
NOTHING = -2
"""Equals no token: it stands before the first one that is added."""


def stop_table(stop: StopIds, vocab_size: int) -> Int[HostArray, "S L"]:
    """Return S stop sequences as an array, each at the end of its row of L ids.

    Raises:
        TypeError: `stop` is not a collection of ids, or of sequences of them.
        ValueError: an id is out of range, or a sequence is empty.
    """
    if not isinstance(stop, Iterable):
        raise TypeError(f"stop must be a collection of ids or of sequences of ids, got {stop!r}")
    sequences = [np.atleast_1d(np.asarray(each)) for each in stop]
    for sequence in sequences:
        if sequence.ndim != 1 or sequence.size == 0:
            raise ValueError(f"stop must hold sequences of at least one id, got {sequence}")
        check_ids("stop", sequence, vocab_size)
    longest = max(map(len, sequences), default=1)
    table = np.full((len(sequences), longest), ANYTHING, np.int32)
    for row, sequence in zip(table, sequences, strict=True):
        row[longest - len(sequence) :] = sequence
    return table


def encode_stop(vocabulary: Vocabulary, stop: str | Iterable[str]) -> list[HostArray]:
    """Return the ids of stop strings; of one, if a text comes in place of several.

    Raises:
        UnknownTokenError: one holds tokens that are not in the vocabulary: it could never occur.
        TypeError: one is not a text.
        ValueError: one has no tokens.
    """
    if isinstance(stop, str):
        stop = (stop,)
    if not isinstance(stop, Iterable):
        raise TypeError(f"stop must be one text or several, got {stop!r}")
    sequences = []
    for text in stop:
        if not isinstance(text, str):
            raise TypeError(f"stop must be one text or several, got {text!r}")
        try:
            vocabulary.check_known(text)
        except UnknownTokenError as error:
            hint = ": a shell writes a line break as $'\\n'" if "\\" in text else ""
            raise UnknownTokenError(f"stop {text!r} has {error}{hint}") from None
        sequences.append(vocabulary.encode(text))
        if sequences[-1].size == 0:
            raise ValueError(f"stop must have at least one {vocabulary.unit} each, got {text!r}")
    return sequences


def check_min_tokens(min_tokens: int, num_tokens: int) -> None:
    """Raise unless so many tokens can be added."""
    check_integer("min_tokens", min_tokens)
    if not 0 <= min_tokens <= num_tokens:
        raise ValueError(
            f"min_tokens must be between 0 and {num_tokens:,}, the tokens to add, got {min_tokens}"
        )


def stop_lengths(recent: Any, table: Any) -> Any:
    """Return the length `[B]` of the longest stop sequence that ends each row, 0 where none does.

    Args:
        recent: the last L tokens of each row, `[L, B]`.
        table: the stop sequences, `[S, L]`, from `stop_table`.
    """
    stops = table[:, :, None]
    ended = ((stops == recent[None]) | (stops == ANYTHING)).all(axis=1)
    lengths = (table != ANYTHING).sum(axis=1, dtype=jnp.int32)
    return jnp.where(ended, lengths[:, None], 0).max(axis=0, initial=0)


def num_begun(ids: Sequence[int], stops: Sequence[HostArray]) -> int:
    """Return how many of the last ids may turn out to be the beginning of a stop sequence."""
    most = min(len(ids), max(map(len, stops), default=1) - 1)
    for n in range(most, 0, -1):
        last = list(ids[-n:])
        if any(len(stop) > n and stop[:n].tolist() == last for stop in stops):
            return n
    return 0
