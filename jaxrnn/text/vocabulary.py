"""Tokens and their ids."""

import collections
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxrnn.checks import check_choice, check_ids, check_positive_integer
from jaxrnn.typing import AnyArray, HostArray, Int, Integer

Unit = Literal["character", "word"]
"""The kind of token that a text is split into."""


class UnknownTokenError(ValueError):
    """A text holds tokens that are not in the vocabulary."""


def tokenize(text: str, unit: Unit) -> list[str]:
    """Split a text into characters, or into words at white space.

    Example:
        >>> import jaxrnn
        >>> jaxrnn.text.tokenize("to be", "word")
        ['to', 'be']
    """
    check_choice("unit", unit, ("character", "word"))
    return list(text) if unit == "character" else text.split()


def join_tokens(tokens: Iterable[str], unit: Unit) -> str:
    """Join tokens or pieces of text, with spaces between words."""
    return ("" if unit == "character" else " ").join(tokens)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a text in the order of their ids, with their counts.

    Reserved tokens come first (`<unk>` before all), then the others from most to least frequent,
    ties sorted by code point: the same text always gives the same ids.

    Example:
        >>> import jaxrnn
        >>> vocabulary = jaxrnn.Vocabulary.of("to be or not to be", unit="word", unknown="<unk>")
        >>> vocabulary.tokens
        ('<unk>', 'be', 'to', 'not', 'or')
        >>> ids = vocabulary.encode("not me")
        >>> ids.tolist(), vocabulary.decode(ids)
        ([3, 0], 'not <unk>')
    """

    tokens: tuple[str, ...]
    """The token of each id."""
    counts: tuple[int, ...]
    """How often each token occurs in the text; `<unk>` has the counts of all that it replaces."""
    unit: Unit = "character"
    """The kind of token."""
    unknown: str | None = None
    """The token that replaces unknown ones, such as "<unk>"; None if there is none."""

    @classmethod
    def of(
        cls,
        text: str,
        *,
        unit: Unit = "character",
        unknown: str | None = None,
        min_count: int = 1,
        reserved: Sequence[str] = (),
    ) -> "Vocabulary":
        """Build the vocabulary of a text; arguments and errors are those of `of_counts`."""
        counts = collections.Counter(tokenize(text, unit))
        return cls.of_counts(
            counts, unit=unit, unknown=unknown, min_count=min_count, reserved=reserved
        )

    @classmethod
    def of_counts(
        cls,
        counts: Mapping[str, int],
        *,
        unit: Unit = "character",
        unknown: str | None = None,
        min_count: int = 1,
        reserved: Sequence[str] = (),
    ) -> "Vocabulary":
        """Build the vocabulary of a text from its counts, which may be summed over pieces.

        Args:
            counts: how often each token occurs in the text.
            unit: "character" or "word".
            unknown: a token for everything that is not in the vocabulary; it gets id 0.
            min_count: tokens that occur less often are left out.
            reserved: tokens that get the next ids whether they occur or not.

        Raises:
            ValueError: the text has no tokens; some are left out and there is no unknown token; or
                a reserved token is named twice.

        Example:
            >>> import jaxrnn
            >>> jaxrnn.Vocabulary.of_counts({"a": 1, "b": 2}).tokens
            ('b', 'a')
        """
        check_positive_integer("min_count", min_count)
        first = ((unknown,) if unknown is not None else ()) + tuple(reserved)
        if len(set(first)) < len(first):
            raise ValueError(f"reserved must not name a token twice, got {first}")
        frequencies = collections.Counter(counts)
        if not frequencies:
            raise ValueError(f"text must hold at least one {unit}, got none")
        kept = {t: n for t, n in frequencies.items() if n >= min_count and t not in first}
        ordered = sorted(kept, key=lambda token: (-kept[token], token))
        lost = sum(n for t, n in frequencies.items() if t not in kept and t not in first)
        if lost and unknown is None:
            raise ValueError(f"min_count = {min_count} leaves tokens out: name an unknown token")
        if unknown is not None:
            frequencies[unknown] += lost
        tokens = first + tuple(ordered)
        return cls(tokens, tuple(frequencies[t] for t in tokens), unit, unknown)

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, ("character", "word"))
        if not all(isinstance(token, str) for token in self.tokens):
            raise ValueError("tokens must be strings")
        if not all(isinstance(count, int) and count >= 0 for count in self.counts):
            raise ValueError("counts must be integers of at least 0")
        if len(self.tokens) != len(self.counts) or len(set(self.tokens)) != len(self.tokens):
            raise ValueError("tokens must be distinct and have one count each")
        if self.unknown is not None and self.unknown not in self.tokens:
            raise ValueError(f"unknown must be one of the tokens, got {self.unknown!r}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._token_ids

    @functools.cached_property
    def _token_ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text: str) -> Int[HostArray, "n"]:
        """Return the ids of a text.

        Raises:
            UnknownTokenError: the text holds tokens that are not in the vocabulary, and there is no
                unknown token; the message names them.
        """
        if self.unknown is None:
            self.check_known(text)
        return self.encode_known(text)[0]

    def check_known(self, text: str) -> None:
        """Raise an UnknownTokenError that names the tokens that are not in the vocabulary."""
        unknown = list(dict.fromkeys(t for t in tokenize(text, self.unit) if t not in self))
        if unknown:
            shown = " ".join(map(repr, unknown[:10]))
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            raise UnknownTokenError(
                f"{self.unit}s that are not in the vocabulary of {len(self)}: {shown}{more}"
            )

    def check_prompt(self, prompt: str, *, allow_unknown: bool = False) -> None:
        """Raise unless a prompt has tokens, and all of them are in the vocabulary.

        Raises:
            UnknownTokenError: it has unknown tokens, and they are not allowed.
            ValueError: it has no tokens.
        """
        if not tokenize(prompt, self.unit):
            raise ValueError(f"prompts must have at least one {self.unit}, got {prompt!r}")
        if not allow_unknown:
            self.check_known(prompt)

    def encode_known(self, text: str) -> tuple[Int[HostArray, "n"], np.ndarray]:
        """Return the ids of any text, and which of its tokens are in the vocabulary.

        The others get the id of the unknown token or, without one, of the most frequent token.
        """
        tokens = tokenize(text, self.unit)
        stand_in = int(np.argmax(self.counts))
        if self.unknown is not None:
            stand_in = self._token_ids[self.unknown]
        ids = np.array([self._token_ids.get(token, stand_in) for token in tokens], np.int32)
        return ids, np.array([token in self._token_ids for token in tokens], bool)

    def decode(self, ids: Iterable[int] | Integer[AnyArray, "n"]) -> str:
        """Return the text of some ids, with spaces between words.

        Raises:
            TypeError: the ids are not integers.
            ValueError: an id is out of range.
        """
        array = np.asarray(list(ids) if not hasattr(ids, "dtype") else ids)
        if array.size == 0:
            return ""
        check_ids("ids", array, len(self))
        return join_tokens((self.tokens[i] for i in array.ravel()), self.unit)

    def to_json(self) -> str:
        """Return the vocabulary as JSON."""
        content = {
            "unit": self.unit,
            "unknown": self.unknown,
            "tokens": self.tokens,
            "counts": self.counts,
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read a vocabulary that `to_json` wrote.

        Raises:
            ValueError: the text is not a vocabulary as JSON.
        """
        try:
            content = json.loads(text)
            tokens, counts = content["tokens"], content["counts"]
            if not (isinstance(tokens, list) and isinstance(counts, list)):
                raise TypeError("tokens and counts must be lists")
            return cls(tuple(tokens), tuple(counts), content["unit"], content["unknown"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"text must be a vocabulary as JSON: {error}") from error
