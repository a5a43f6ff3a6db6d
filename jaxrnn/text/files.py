"""The files of a text: found by name, unpacked, decoded, and read piece by piece.

At most one piece is in memory at a time, and of a packed file no more is unpacked than is used.
"""

import codecs
import contextlib
import glob
import gzip
import hashlib
import io
import itertools
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxrnn.checks import check_regular_file

BYTES_PER_PIECE = 1 << 22
SUFFIXES = (".txt", ".gz", ".zip")
"""The files in a folder that are texts, in upper or lower case."""
PACKED = (".gz", ".zip")
MAX_FILES = 10_000
"""The most files that a folder or pattern may stand for."""

LIKELY = ["gb18030", "big5", "cp932", "euc_jp", "cp949", "utf_16", "utf_32", "cp1252", "cp1251"]
"""The encodings to guess from: those of most texts that are not UTF-8."""

_DAMAGED = (  # everything that `gzip` and `zipfile` raise for a damaged file
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def find_files(name: str) -> list[Path]:
    """Return the files that a name stands for; none if there are no such files.

    Args:
        name: a file; a folder, which stands for the `.txt`, `.gz` and `.zip` files in it and below;
            or a pattern, such as "poems/*.txt".  A leading ~ is the home folder.

    Returns:
        The files, sorted by their paths, without hidden ones.

    Raises:
        ValueError: there are too many: / is not meant as a text.
    """
    if not name:  # for Path, the current folder
        return []
    with contextlib.suppress(RuntimeError):  # there is no home folder
        name = str(Path(name).expanduser())
    if os.path.isfile(name):  # unlike Path.is_file, False for a name that is too long
        return [Path(name)]
    is_folder = os.path.isdir(name)
    everything = _files_below(name) if is_folder else map(Path, glob.iglob(name))
    found = list(itertools.islice(everything, MAX_FILES + 1))
    if len(found) > MAX_FILES:
        raise ValueError(f"{name} must stand for at most {MAX_FILES:,} files")
    return sorted(path for path in found if path.is_file() and (not is_folder or _is_text(path)))


def _is_text(path: Path) -> bool:
    """Return whether a file in a folder is one of its texts, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _files_below(folder: str) -> Iterator[Path]:
    """Yield all files and folders in a folder and below; no links are followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        yield from (Path(parent, each) for each in (*folders, *files))


class HashingReader(io.RawIOBase):
    """A file that is read once, from start to end, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer; return their number."""
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._hash.update(piece)
        return len(piece)

    def hexdigest(self) -> str:
        """Read the rest; return the SHA-256 of the complete file."""
        while self.read(1 << 16):
            pass
        return self._hash.hexdigest()


def read_pieces(path: Path, file: Any, encoding: str | None, num_bytes: int) -> Iterator[str]:
    """Read the text in a file piece by piece.

    Args:
        path: its name, whose suffix says whether it is packed.
        file: the open file.
        encoding: its encoding, such as "utf-8" or "gb18030", with or without a byte order mark; all
            line breaks become line feeds.  None takes any bytes as they are, each as the character
            of its number.
        num_bytes: the size of a piece.

    Raises:
        ValueError: the file is damaged, holds several texts, or has another encoding.
    """
    with _unpacked(path, file) as unpacked:
        decoder = None if encoding is None else _decoder(encoding)
        first, num_read, num_lines = True, 0, 0
        while True:
            piece = _read(path, unpacked, num_bytes)
            if decoder is None:
                text = piece.decode("latin-1")
            else:
                try:
                    text = decoder.decode(piece, final=not piece)
                except UnicodeDecodeError as error:
                    place = num_read + len(piece) - len(error.object) + error.start
                    line = num_lines + 1 + error.object[: error.start].count(b"\n")
                    raise ValueError(_wrong_encoding(path, encoding, error, place, line)) from error
                except UnicodeError as error:  # without a place: there is no byte order mark
                    raise ValueError(f"{path} must be text in {encoding}: {error}") from error
                num_lines += piece.count(b"\n")
            num_read += len(piece)
            if text and first:
                text = text.removeprefix("\ufeff") if decoder else text
                first = False
            if text:
                yield text
            if not piece:
                return


def check_encoding(encoding: str) -> None:
    """Raise a ValueError unless Python knows a text encoding of this name."""
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError) as error:
        raise ValueError(
            "encoding must be one that Python knows, such as utf-8, gb18030 or latin-1, got"
            f" {encoding!r}"
        ) from error


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder:
    check_encoding(encoding)
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)


@contextlib.contextmanager
def _unpacked(path: Path, file: Any) -> Iterator[Any]:
    """Open the text in a file: what is packed in a .gz file, or the only .txt in a .zip file."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        yield gzip.GzipFile(fileobj=file)
        return
    if suffix != ".zip":
        yield file
        return
    try:
        archive = zipfile.ZipFile(file if file.seekable() else io.BytesIO(file.read()))
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    with archive:
        texts = [
            member
            for member in archive.infolist()
            if member.filename.lower().endswith(".txt")
            and not member.filename.startswith("__MACOSX")
        ]
        if len(texts) != 1:
            listed = ", ".join(text.filename for text in texts) or "none"
            raise ValueError(f"{path} must hold exactly one .txt file, got {listed}")
        try:
            member = archive.open(texts[0])
        except _DAMAGED as error:
            raise _damaged(path, error) from error
        with member:
            yield member


def _read(path: Path, unpacked: Any, num_bytes: int) -> bytes:
    try:
        piece: bytes = unpacked.read(num_bytes)
    except _DAMAGED as error:
        if path.suffix.lower() in PACKED:
            raise _damaged(path, error) from error
        raise
    return piece


def _damaged(path: Path, error: BaseException) -> ValueError:
    kind = path.suffix.lower()[1:]
    return ValueError(f"{path} must be a {kind} file that can be read: {error}")


def _wrong_encoding(
    path: Path, encoding: str | None, error: UnicodeDecodeError, place: int, line: int
) -> str:
    """Return a message that names the byte, its place, and the likely encoding."""
    wrong = error.object[error.start]
    likely = _likely_encoding(error.object)
    hint = f"; it may be {likely}: --encoding {likely}" if likely else ""
    return (
        f"{path} must be text in {encoding}, but in line {line} byte 0x{wrong:02x} at position"
        f" {place:,} is not{hint}"
    )


def _likely_encoding(sample: bytes) -> str | None:
    """Guess the encoding of some text; None without a guess."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:  # it comes with jaxrnn[commands]
        return None
    best = from_bytes(sample[: 1 << 16], cp_isolation=LIKELY).best()
    return None if best is None else best.encoding


@contextlib.contextmanager
def open_hashed(path: Path, most_bytes: int) -> Iterator[HashingReader]:
    """Open a regular file, and hash what is read of it.

    Raises:
        ValueError: it is not a regular file, or is larger than `most_bytes`.
    """
    check_regular_file(path, most_bytes)
    with path.open("rb") as file:
        yield HashingReader(file)
