"""A text as the ids of its tokens in a file, which training maps into memory and reads in place.

For texts larger than memory: nothing here ever holds more of one than a piece.  In the folder are
`ids.npy`, as NumPy saves arrays, and `text.json`: the vocabulary, how many tokens there are, and
SHA-256 sums of the ids and of itself.
"""

import collections
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.checks import check_regular_file
from jaxrnn.text.vocabulary import Unit, Vocabulary, tokenize
from jaxrnn.typing import HostArray

CHARACTERS_PER_PIECE = 1 << 22
BYTES_PER_PIECE = 1 << 22
FORMAT = 2
READABLE = (1, 2)
"""Formats that are read.  The first has no sum of `text.json`, and line breaks as spaces."""

MAX_JSON_BYTES = 1 << 30
MAX_WORD = 1 << 20
"""Characters of a word: where no white space comes for so long, the text is not of words."""


class TokenFileError(ValueError):
    """A folder holds no tokens that can be used."""


class TokenFile(NamedTuple):
    """A text that lies in a file as ids."""

    folder: Path
    vocabulary: Vocabulary
    num_ids: int
    digest: str
    """SHA-256 of the ids."""
    keep_line_breaks: bool
    """Whether line breaks are tokens; else they became spaces."""

    def ids(self, num_ids: int | None = None) -> np.memmap:
        """The first of them, or all, mapped into memory."""
        path = self.folder / "ids.npy"
        whole = np.lib.format.open_memmap(path, mode="r")
        shape = whole.shape if num_ids is None else (num_ids,)
        return np.memmap(path, whole.dtype, "r", whole.offset, shape)


def pieces_of(
    path: Path, unit: Unit = "character", *, keep_line_breaks: bool = True
) -> Iterator[str]:
    """Read a text in UTF-8 piece by piece, no word cut in two.

    Args:
        path: the file.
        unit: "character" or "word".
        keep_line_breaks: whether line breaks stay, as line feeds; else they become spaces.

    Raises:
        ValueError: it is not UTF-8, no regular file, or a word of it has no end.
    """
    check_regular_file(path)
    rest = ""
    with path.open(encoding="utf-8-sig") as file:
        try:
            while piece := file.read(CHARACTERS_PER_PIECE):
                piece = rest + (piece if keep_line_breaks else piece.replace("\n", " "))
                end = len(piece) if unit == "character" else _end_of_words(piece)
                rest = piece[end:]
                if len(rest) > MAX_WORD:
                    raise ValueError(
                        f"{path} must have words of at most {MAX_WORD:,} characters, got"
                        f" {rest[:20]!r}..."
                    )
                yield piece[:end]
        except UnicodeDecodeError as error:
            wrong = f"{error.reason}, 0x{error.object[error.start]:02x}"
            raise ValueError(f"{path} must be UTF-8 text: {wrong}") from error
    yield rest


def _end_of_words(piece: str) -> int:
    """The place after the last white space."""
    if piece[-1:].isspace():
        return len(piece)
    return len(piece) - len(piece.rsplit(maxsplit=1)[-1])


def write_token_file(
    pieces: Callable[[], Iterable[str]],
    folder: Path,
    unit: Unit = "character",
    *,
    keep_line_breaks: bool = True,
) -> TokenFile:
    """Count the tokens of a text, then write their ids; the folder appears when all is done.

    Args:
        pieces: called twice, gives the text piece by piece.
        folder: must not be there yet.
        unit: "character" or "word".
        keep_line_breaks: whether the pieces have their line breaks, which is recorded.

    Raises:
        ValueError: the text has no token, or was another one the second time.
        FileExistsError: the folder is there.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    vocabulary = Vocabulary.of_counts(_count(pieces(), unit), unit=unit)
    num_ids = sum(vocabulary.counts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as beside:
        whole = Path(beside) / "whole"
        whole.mkdir()
        digest = _write_ids(whole / "ids.npy", (vocabulary, pieces()), num_ids)
        content = {
            "format": FORMAT,
            "num_ids": num_ids,
            "digest": digest,
            "keep_line_breaks": keep_line_breaks,
            "vocabulary": vocabulary.to_json(),
        }
        text = json.dumps(content | {"sum": _sum(content)}, ensure_ascii=False)
        (whole / "text.json").write_text(text, encoding="utf-8")
        os.rename(whole, folder)
    return TokenFile(folder, vocabulary, num_ids, digest, keep_line_breaks)


def open_token_file(folder: Path) -> TokenFile:
    """What `write_token_file` wrote, all of it read and compared with its sums.

    Raises:
        TokenFileError: the folder holds no such thing, or not what was written.
    """
    try:
        check_regular_file(folder / "text.json", MAX_JSON_BYTES)
        content = json.loads((folder / "text.json").read_text(encoding="utf-8"))
        if content["format"] not in READABLE:
            known = " and ".join(map(str, READABLE))
            raise ValueError(f"it is of format {content['format']}, this jaxrnn reads {known}")
        if content["format"] > 1 and content.pop("sum") != _sum(content):
            raise ValueError("text.json is damaged")
        tokens = TokenFile(
            folder,
            Vocabulary.from_json(content["vocabulary"]),
            content["num_ids"],
            content["digest"],
            content.get("keep_line_breaks", False),
        )
        _check_ids(tokens)
    except Exception as error:  # content of any form raises many unrelated types
        raise TokenFileError(f"{folder} holds no tokens that can be used: {error}") from error
    return tokens


def _check_ids(tokens: TokenFile) -> None:
    """Raise unless `ids.npy` is, byte for byte, what was written."""
    path = tokens.folder / "ids.npy"
    check_regular_file(path)
    ids = tokens.ids()
    if ids.shape != (tokens.num_ids,) or ids.dtype != _id_type(tokens.vocabulary):
        raise ValueError(f"its ids are {ids.dtype}{list(ids.shape)}, not those of its words")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(ids.offset)
        while piece := file.read(BYTES_PER_PIECE):
            digest.update(piece)
    if digest.hexdigest() != tokens.digest:
        raise ValueError("ids.npy is damaged")


def _sum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _count(pieces: Iterable[str], unit: Unit) -> dict[str, int]:
    if unit == "word":
        words: collections.Counter[str] = collections.Counter()
        for piece in pieces:
            words.update(tokenize(piece, unit))
        return words
    counts = np.zeros(0x110000, np.int64)
    for piece in pieces:
        counts += np.bincount(_code_points(piece), minlength=len(counts))
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _write_ids(path: Path, text: tuple[Vocabulary, Iterable[str]], num_ids: int) -> str:
    vocabulary, pieces = text
    dtype, digest, num_bytes = _id_type(vocabulary), hashlib.sha256(), 0
    with path.open("xb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": (num_ids,)}
        np.lib.format.write_array_header_2_0(file, header)
        for piece in pieces:
            content = _encode(vocabulary, piece).astype(dtype).tobytes()
            digest.update(content)
            num_bytes += file.write(content)
    if num_bytes != num_ids * dtype.itemsize:
        raise ValueError("the text grew or shrank while it was read")
    return digest.hexdigest()


def _encode(vocabulary: Vocabulary, piece: str) -> HostArray:
    if vocabulary.unit == "word":
        return vocabulary.encode(piece)
    ids = np.full(0x110000, -1, np.int32)
    ids[[ord(token) for token in vocabulary.tokens]] = np.arange(len(vocabulary))
    ids = ids[_code_points(piece)]
    if len(ids) and ids.min() < 0:
        raise ValueError("the text changed while it was read")
    return ids


def _code_points(piece: str) -> HostArray:
    return np.frombuffer(piece.encode("utf-32-le"), np.uint32)


def _id_type(vocabulary: Vocabulary) -> np.dtype:
    return np.dtype(np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32)
