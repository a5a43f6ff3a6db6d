"""Corpora by name or path, each identified by the digest of its file.

Your own files are read as they are.  A known name is looked up in the folder of the environment
variable `JAXRNN_DATA`, then in the cache, then downloaded.  If that fails, another corpus can
replace it.  The result holds the digest of the file that was read, to be printed and recorded.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxrnn.checks import check_positive_integer
from jaxrnn.text.files import find_files, open_hashed, read_pieces
from jaxrnn.text.sources import BUNDLED, KNOWN, SOURCES, Source
from jaxrnn.text.units import bytes_to_text

MAX_BYTES = 1 << 30
"""The largest file accepted."""
MAX_CHARS = 1 << 30
"""The largest text accepted; a packed file could expand without end."""

PAGE = 1 << 16
"""Bytes that are read at a time."""


class Corpus(NamedTuple):
    """A text and where it came from."""

    name: str
    """A known name, or the paths as given."""
    text: str
    """The text, or the part that was asked for; all line breaks are line feeds.  Bytes that are not
    UTF-8, if they were asked for, are surrogate escapes (PEP 383)."""
    digest: str
    """The SHA-256 of the file, in hexadecimal; of several, that of the lines of their digests."""
    source: str
    """A description of the origin: a file, or the download address."""


class CorpusNotFoundError(FileNotFoundError):
    """The corpus is not on disk and cannot be downloaded."""


def load_corpus(
    name: str | os.PathLike[str] | Sequence[str],
    *,
    fallback: str | None = None,
    encoding: str | None = "utf-8",
    max_chars: int | None = None,
) -> Corpus:
    """Load a corpus by name, or your own text from one or more files.

    Args:
        name: "jaychou", "time_machine" or "time_machine_words" of the book; "ptb_train",
            "ptb_valid" or "ptb_test", words of the Penn Treebank (Mikolov's cut, with `<eos>` after
            each line), or the same with "_characters" at the end, spelt out; "shakespeare", 40,000
            lines of plays (Karpathy's "tiny Shakespeare"); "songs", which comes with this package;
            or your own text: a file, a folder of them, a pattern such as "poems/*.txt", or several
            of these.  Files that end in .gz or .zip are unpacked; a zip must hold exactly one
            `.txt`.  Each file begins on a new line.
        fallback: the name to load instead of a known corpus that is unavailable.
        encoding: the encoding of your own files, any that Python knows.  None takes any bytes as
            they are, to be read with `unit="byte"`.
        max_chars: how many characters (without an encoding, bytes) to read from the start of your
            own text; None reads all.  The digest always covers the complete files.

    Returns:
        A Corpus, whose `source` says what was loaded.

    Raises:
        CorpusNotFoundError: there is no such file, or the corpus is unavailable.
        ValueError: the text is empty, in another encoding, damaged or too large, a zip does not
            hold one text, or a known corpus has another digest.

    Examples:
        >>> import jaxrnn
        >>> corpus = jaxrnn.load_corpus("songs")
        >>> corpus.source, len(corpus.digest)
        ('the songs that come with jaxrnn', 64)
    """
    if max_chars is not None:
        check_positive_integer("max_chars", max_chars)
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if name == BUNDLED:
        songs = _read([Path(__file__).parent / "songs.txt"], name, "utf-8")
        return songs._replace(source="the songs that come with jaxrnn")
    if not isinstance(name, str) or name not in SOURCES:
        names = (name,) if isinstance(name, str) else tuple(name)
        return _read(files_of(names), ", ".join(names), encoding, max_chars)
    source = SOURCES[name]
    try:
        path, origin = _find(source)
    except CorpusNotFoundError as error:
        if fallback is None:
            raise
        corpus = load_corpus(fallback)
        return corpus._replace(source=f"{corpus.source}, instead of {name}: {error}")
    corpus = _read([path], name, "utf-8")
    if corpus.digest != source.digest:
        raise ValueError(
            f"{path} must have the SHA-256 {source.digest} to be the corpus {name},"
            f" got {corpus.digest}"
        )
    return corpus._replace(text=source.clean(corpus.text), source=origin)


def files_of(names: Sequence[str]) -> list[Path]:
    """Return the files that some names stand for, at least one each, or raise an error."""
    files = []
    for name in names:
        found = find_files(name)
        if not found and name in KNOWN:
            raise ValueError(f"corpus {name} must be given alone, without other files")
        if not found:
            raise CorpusNotFoundError(
                f"corpus must be one of {', '.join(KNOWN)}, or an existing file, a folder of .txt"
                f" files or a pattern, got {name}"
            )
        files += found
    if not files:
        raise ValueError("corpus must name at least one text, got none")
    return files


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


def _read(
    files: Sequence[Path], name: str, encoding: str | None, max_chars: int | None = None
) -> Corpus:
    """Read files one after another, each of them once: the digest must belong to the text."""
    most = MAX_CHARS + 1 if max_chars is None else max_chars
    pieces, length, digests = [""], 0, []
    for path in files:
        if encoding is not None and length and not pieces[-1].endswith("\n"):
            pieces.append("\n")
        with open_hashed(path, MAX_BYTES) as file:
            for piece in read_pieces(path, file, encoding, PAGE):
                pieces.append(piece[: most - length])
                length += len(pieces[-1])
                if length == most:  # unpack and decode no more than is used
                    break
            digests.append(file.hexdigest())
    text = "".join(pieces)[:most]
    if len(text) > MAX_CHARS:
        raise ValueError(f"{name} must hold at most {MAX_CHARS:,} characters")
    if encoding is None:
        text = bytes_to_text(text.encode("latin-1"))
    if not text or (encoding is not None and text.isspace()):
        raise ValueError(f"{name} must hold some text, got none")
    if len(files) == 1:
        return Corpus(name, text, digests[0], str(files[0]))
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return Corpus(name, text, digest, f"{len(files)} files")
