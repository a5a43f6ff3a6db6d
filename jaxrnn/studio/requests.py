"""The requests that the page may send, and the checks of what they hold."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

from jaxrnn.checks import FLOAT32_MAX, check_positive_integer, check_seed

MAX_CHARACTERS = 100_000
"""The longest text."""

MAX_VALUES = 1 << 25
"""The most values of a layer that are shown: tokens times units."""

MAX_TOKENS = 5_000
"""The most tokens that are added to a prompt."""

MAX_STOPS = 16
"""The most texts that end a continuation."""

Request = TypeVar("Request")


@dataclass(frozen=True)
class Write:
    """Continue a text."""

    prompt: str
    """The text."""
    num_read: int | None = None
    """The tokens of it to read, from its beginning; None means all."""
    length: int = 200
    """Tokens to add, at most."""
    temperature: float = 0.7
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_text("prompt", self.prompt)
        check_positive_integer("length", self.length, MAX_TOKENS)
        check_seed("seed", self.seed)
        if self.num_read is not None:
            check_positive_integer("num_read", self.num_read)
        if len(self.stop) > MAX_STOPS:
            raise ValueError(f"stop must hold {MAX_STOPS} texts at most, got {len(self.stop)}")
        for text in self.stop:
            _check_text("stop", text)


@dataclass(frozen=True)
class Read:
    """Read a text, and say how surprising each token was."""

    text: str
    """The text."""

    def __post_init__(self) -> None:
        _check_text("text", self.text)


@dataclass(frozen=True)
class LookInside:
    """Read a text, and show a layer at every token."""

    text: str
    """The text."""
    layer: int = 0
    """The layer, in the order of `jaxrnn.probes.trace`."""
    array: str = "hidden"
    """The name of an array of the carry, or "gate " and the name of a gate."""

    def __post_init__(self) -> None:
        _check_text("text", self.text)


def _check_text(name: str, text: str) -> None:
    if not text:
        raise ValueError(f"{name} must hold at least one character")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"{name} must hold {MAX_CHARACTERS:,} characters at most, got {len(text):,}"
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{name} must be Unicode, got half of a surrogate pair")


def read_request(kind: type[Request], content: Any) -> Request:
    """Make a request of the object in some JSON.

    Raises:
        TypeError: it is not an object, or a value has the wrong type.
        ValueError: a name is unknown or missing, or a value is out of range.
    """
    if not isinstance(content, dict):
        raise TypeError("a request must be a JSON object")
    hints, values = get_type_hints(kind), {}
    known: Any = kind
    names = [field.name for field in fields(known)]
    for name, value in content.items():
        if name not in names:
            raise ValueError(f"a request must not hold {name!r}")
        if isinstance(value, list):
            value = tuple(value)
        if hints[name] is float and type(value) is int and abs(value) <= FLOAT32_MAX:
            value = float(value)
        if not _fits(value, hints[name]):
            raise TypeError(f"{name} must be {_in_words(hints[name])}, got {value!r:.100}")
        values[name] = value
    if names[0] not in values:
        raise ValueError(f"a request must hold {names[0]!r}")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    if hint == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(text, str) for text in value)
    if isinstance(value, bool):
        return False
    return isinstance(value, hint)


def _in_words(hint: Any) -> str:
    names = {str: "a text", int: "an integer", float: "a number", int | None: "an integer or null"}
    return names.get(hint, "a list of texts")
