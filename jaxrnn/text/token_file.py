"""A text stored as token ids, in a file that training maps into memory.

For texts larger than memory: no function holds more than one piece of the text at a time.  The
folder holds `ids.npy`, in NumPy's format, and `text.json`: the vocabulary, the number of tokens,
and SHA-256 checksums of the ids and of itself.
"""

import collections
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.checks import check_regular_file
from jaxrnn.text.files import BYTES_PER_PIECE
from jaxrnn.text.units import Unit, tokenize
from jaxrnn.text.vocabulary import UNKNOWN, Vocabulary
from jaxrnn.typing import HostArray

FORMAT = 2
READABLE = (1, 2)
"""Formats that can be read.  Format 1 has no checksum of `text.json`, and no line breaks."""

MAX_JSON_BYTES = 1 << 30


class TokenFileError(ValueError):
    """A folder holds no usable tokens."""


class TokenFile(NamedTuple):
    """A text stored in a file as token ids."""

    folder: Path
    """The folder of `ids.npy` and `text.json`."""
    vocabulary: Vocabulary
    """The vocabulary of the text, with its counts."""
    num_ids: int
    """The number of tokens in the text."""
    digest: str
    """The SHA-256 of the ids."""
    keep_line_breaks: bool
    """Whether line breaks are tokens; otherwise they became spaces."""

    def ids(self, num_ids: int | None = None) -> np.memmap:
        """Map the first `num_ids` ids, or all of them, into memory."""
        path = self.folder / "ids.npy"
        mapped = np.lib.format.open_memmap(path, mode="r")
        shape = mapped.shape if num_ids is None else (num_ids,)
        return np.memmap(path, mapped.dtype, "r", mapped.offset, shape)


def write_token_file(
    pieces: Callable[[], Iterable[str]],
    folder: Path,
    unit: Unit = "character",
    *,
    max_size: int | None = None,
    keep_line_breaks: bool = True,
) -> TokenFile:
    """Count the tokens of a text and write their ids; the folder appears only when complete.

    Args:
        pieces: yields the text piece by piece; called twice.
        folder: must not exist yet.
        unit: "character", "word" or "byte".
        max_size: the most tokens in the vocabulary, `<unk>` included, which stands for the least
            frequent; None keeps all, without `<unk>`.
        keep_line_breaks: whether the pieces still have their line breaks; this is only recorded.

    Raises:
        ValueError: the text has no tokens, or changed before the second reading.
        FileExistsError: the folder exists.

    Examples:
        >>> import pathlib, tempfile
        >>> from jaxrnn.text.token_file import open_token_file, write_token_file
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     folder = pathlib.Path(parent, "tokens")
        ...     _ = write_token_file(lambda: ["to be ", "or not"], folder, "word")
        ...     print(open_token_file(folder).ids())
        [3 0 2 1]
    """
    if folder.exists():
        raise FileExistsError(f"{folder} already exists")
    unknown = None if max_size is None else UNKNOWN
    counts = _count(pieces(), unit)
    vocabulary = Vocabulary.of_counts(counts, unit=unit, unknown=unknown, max_size=max_size)
    num_ids = sum(vocabulary.counts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as temporary:
        complete = Path(temporary) / "complete"
        complete.mkdir()
        digest = _write_ids(complete / "ids.npy", (vocabulary, pieces()), num_ids)
        content = {
            "format": FORMAT,
            "num_ids": num_ids,
            "digest": digest,
            "keep_line_breaks": keep_line_breaks,
            "vocabulary": vocabulary.to_json(),
        }
        text = json.dumps(content | {"sum": _sum(content)}, ensure_ascii=False)
        (complete / "text.json").write_text(text, encoding="utf-8")
        os.rename(complete, folder)
    return TokenFile(folder, vocabulary, num_ids, digest, keep_line_breaks)


def open_token_file(folder: Path) -> TokenFile:
    """Open what `write_token_file` wrote, after verifying all of it against its checksums.

    Raises:
        TokenFileError: the folder holds no token file, or a damaged one.
    """
    try:
        check_regular_file(folder / "text.json", MAX_JSON_BYTES)
        content = json.loads((folder / "text.json").read_text(encoding="utf-8"))
        if content["format"] not in READABLE:
            known = " and ".join(map(str, READABLE))
            raise ValueError(f"its format is {content['format']}, this jaxrnn reads {known}")
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
    except Exception as error:  # malformed content can raise almost any type
        raise TokenFileError(f"{folder} holds no usable tokens: {error}") from error
    return tokens


def _check_ids(tokens: TokenFile) -> None:
    """Raise unless `ids.npy` is byte for byte what was written."""
    path = tokens.folder / "ids.npy"
    check_regular_file(path)
    ids = tokens.ids()
    if ids.shape != (tokens.num_ids,) or ids.dtype != _id_type(tokens.vocabulary):
        raise ValueError(f"its ids are {ids.dtype}{list(ids.shape)}, which text.json contradicts")
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
    tokens = vocabulary.tokens
    unknown = -1 if vocabulary.unknown is None else tokens.index(vocabulary.unknown)
    ids = np.full(0x110000, unknown, np.int32)
    for token_id, token in enumerate(tokens):
        if token_id != unknown:
            ids[ord(token)] = token_id
    ids = ids[_code_points(piece)]
    if len(ids) and ids.min() < 0:
        raise ValueError("the text changed while it was read")
    return ids


def _code_points(piece: str) -> HostArray:
    return np.frombuffer(piece.encode("utf-32-le"), np.uint32)


def _id_type(vocabulary: Vocabulary) -> np.dtype:
    return np.dtype(np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32)
