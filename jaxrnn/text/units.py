"""The units that a text is split into."""

from collections.abc import Iterable
from typing import Literal

from jaxrnn.checks import check_choice

Unit = Literal["character", "word", "byte"]
"""The kind of token that a text is split into."""
UNITS: tuple[Unit, ...] = ("character", "word", "byte")


def tokenize(text: str, unit: Unit) -> list[str]:
    r"""Split a text into characters, into words at white space, or into the bytes of its UTF-8.

    A byte is the character of its number, such as "\xff".  Any bytes can be a text: those that are
    not UTF-8 stand in it as Python's surrogate escapes (PEP 383).

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.text.tokenize("to be", "word")
        ['to', 'be']
        >>> jaxrnn.text.tokenize("né", "byte")
        ['n', 'Ã', '©']
    """
    check_choice("unit", unit, UNITS)
    if unit == "word":
        return text.split()
    return list(text_to_bytes(text).decode("latin-1") if unit == "byte" else text)


def join_tokens(tokens: Iterable[str], unit: Unit) -> str:
    """Join what `tokenize` split, with one space between words."""
    joined = (" " if unit == "word" else "").join(tokens)
    return bytes_to_text(joined.encode("latin-1")) if unit == "byte" else joined


def join_texts(texts: Iterable[str], unit: Unit) -> str:
    """Join pieces of text, with a space between them if they are made of words."""
    return (" " if unit == "word" else "").join(texts)


def text_to_bytes(text: str) -> bytes:
    """Return the bytes that `bytes_to_text` was given."""
    return text.encode("utf-8", "surrogateescape")


def bytes_to_text(content: bytes) -> str:
    """Return any bytes as a text, from which `text_to_bytes` restores them."""
    return content.decode("utf-8", "surrogateescape")


_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def visible(text: str) -> str:
    r"""Replace control characters by pictures of them: a terminal would obey what a model writes.

    Examples:
        >>> from jaxrnn.text.units import visible
        >>> visible("red \x1b[31m")
        'red ␛[31m'
    """
    return text.translate(_PICTURES)


def printable(text: str) -> str:
    """Replace what is not UTF-8 in a text made of bytes by U+FFFD, the replacement character."""
    return text_to_bytes(text).decode("utf-8", "replace")
