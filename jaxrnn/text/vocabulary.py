"""Tokens and their ids."""

import collections
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxrnn.checks import check_choice, check_ids, check_positive_integer
from jaxrnn.text.units import UNITS, Unit, join_tokens, printable, tokenize
from jaxrnn.typing import AnyArray, HostArray, Int, Integer

UNKNOWN = "<unk>"
"""The token that stands for all that a limited vocabulary leaves out."""


class UnknownTokenError(ValueError):
    """A text holds tokens that are not in the vocabulary."""


def check_max_vocabulary(max_vocabulary: int | None, unit: Unit) -> None:
    """Raise unless the vocabulary of a text may be limited to so many tokens and `<unk>`."""
    if max_vocabulary is None:
        return
    check_positive_integer("max_vocabulary", max_vocabulary)
    if max_vocabulary < 2:
        raise ValueError(f"max_vocabulary must be at least 2, got {max_vocabulary}")
    if unit == "byte":
        raise ValueError("max_vocabulary must be left out with bytes, which are always 256")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a text in the order of their ids, with their counts.

    Reserved tokens come first (`<unk>` before all), then the others from most to least frequent,
    ties sorted by code point: the same text always gives the same ids.  The bytes of any text are
    all 256, and each is its own id.

    Examples:
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
        max_size: int | None = None,
        reserved: Sequence[str] = (),
    ) -> "Vocabulary":
        """Build the vocabulary of a text; arguments and errors are those of `of_counts`."""
        return cls.of_counts(
            collections.Counter(tokenize(text, unit)),
            unit=unit,
            unknown=unknown,
            min_count=min_count,
            max_size=max_size,
            reserved=reserved,
        )

    @classmethod
    def of_counts(
        cls,
        counts: Mapping[str, int],
        *,
        unit: Unit = "character",
        unknown: str | None = None,
        min_count: int = 1,
        max_size: int | None = None,
        reserved: Sequence[str] = (),
    ) -> "Vocabulary":
        """Build the vocabulary of a text from its counts, which may be summed over pieces.

        Args:
            counts: how often each token occurs in the text.
            unit: "character", "word" or "byte".
            unknown: a token for everything that is not in the vocabulary; it gets id 0.
            min_count: tokens that occur less often are left out.
            max_size: the most tokens in all; the least frequent are left out.
            reserved: tokens that get the next ids whether they occur or not.

        Raises:
            ValueError: the text has no tokens; some are left out and there is no unknown token;
                a reserved token is named twice; or one of the arguments is given for bytes.

        Examples:
            >>> import jaxrnn
            >>> jaxrnn.Vocabulary.of_counts({"a": 1, "b": 2}).tokens
            ('b', 'a')
        """
        frequencies = collections.Counter(
            {t: int(n) if isinstance(n, np.integer) else n for t, n in counts.items()}
        )
        if not frequencies:
            raise ValueError(f"text must hold at least one {unit}, got none")
        first = ((unknown,) if unknown is not None else ()) + tuple(reserved)
        check_positive_integer("min_count", min_count)
        if unit == "byte":
            if first or min_count > 1 or max_size is not None:
                raise ValueError("a vocabulary of bytes always has all 256, and no others")
            tokens = tuple(map(chr, range(256)))
            return cls(tokens, tuple(frequencies[t] for t in tokens), unit)
        if len(set(first)) < len(first):
            raise ValueError(f"reserved must not name a token twice, got {first}")
        kept = {t: n for t, n in frequencies.items() if n >= min_count and t not in first}
        ordered = sorted(kept, key=lambda token: (-kept[token], token))
        if max_size is not None:
            check_positive_integer("max_size", max_size)
            if max_size <= len(first):
                raise ValueError(f"max_size must be above {len(first)}, the reserved tokens")
            ordered = ordered[: max_size - len(first)]
        tokens = first + tuple(ordered)
        lost = frequencies.total() - sum(frequencies[t] for t in tokens)
        if lost and unknown is None:
            limit = f"max_size = {max_size}" if min_count == 1 else f"min_count = {min_count}"
            raise ValueError(f"{limit} leaves tokens out: name an unknown token")
        if unknown is not None:
            frequencies[unknown] += lost
        return cls(tokens, tuple(frequencies[t] for t in tokens), unit, unknown)

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, UNITS)
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

        Bytes that are not UTF-8 become U+FFFD, the replacement character.

        Raises:
            TypeError: the ids are not integers.
            ValueError: an id is out of range.
        """
        array = np.asarray(list(ids) if not hasattr(ids, "dtype") else ids)
        if array.size == 0:
            return ""
        check_ids("ids", array, len(self))
        text = join_tokens((self.tokens[i] for i in array.ravel()), self.unit)
        return printable(text) if self.unit == "byte" else text

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
