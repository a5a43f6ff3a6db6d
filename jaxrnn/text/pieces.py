"""A text of any size, piece by piece."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxrnn.checks import check_regular_file
from jaxrnn.text.files import BYTES_PER_PIECE, read_pieces
from jaxrnn.text.units import Unit

MAX_WORD = 1 << 20
"""The most characters in a word; a longer one means that the text is not made of words."""


def pieces_of(
    files: Sequence[Path],
    unit: Unit = "character",
    *,
    encoding: str = "utf-8",
    keep_line_breaks: bool = True,
) -> Iterator[str]:
    """Read a text piece by piece, without splitting a word.

    Args:
        files: its files, of which each begins on a new line.
        unit: "character", "word" or "byte".  A byte is the character of its number.
        encoding: the encoding of the files; not used for bytes.
        keep_line_breaks: whether line breaks stay, as line feeds; otherwise they become spaces.

    Raises:
        ValueError: a file is damaged, in another encoding or not a regular file, or a word is too
            long.

    Examples:
        >>> import pathlib, tempfile
        >>> from jaxrnn.text.pieces import pieces_of
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "my.txt")
        ...     _ = path.write_text("to be")
        ...     print(list(pieces_of([path], "word")))
        ['to ', 'be']
    """
    remainder, last = "", "\n"
    line_break = "\n" if keep_line_breaks else " "
    encoding_used = None if unit == "byte" else encoding
    for path in files:
        check_regular_file(path)
        if unit != "byte" and not last.endswith("\n"):
            remainder, last = remainder + line_break, "\n"
        with path.open("rb") as file:
            for last in read_pieces(path, file, encoding_used, BYTES_PER_PIECE):
                piece = remainder + last.replace("\n", line_break)
                end = _end_of_words(piece) if unit == "word" else len(piece)
                remainder = piece[end:]
                if len(remainder) > MAX_WORD:
                    raise ValueError(
                        f"{path} must have words of at most {MAX_WORD:,} characters, got"
                        f" {remainder[:20]!r}..."
                    )
                yield piece[:end]
    yield remainder


def _end_of_words(piece: str) -> int:
    """Return the position after the last white space."""
    if piece[-1:].isspace():
        return len(piece)
    return len(piece) - len(piece.rsplit(maxsplit=1)[-1])
