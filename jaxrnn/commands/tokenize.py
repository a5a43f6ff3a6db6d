"""Turn a text of any size into token ids on disk, which training reads in place.

    jaxrnn tokenize --text big.txt --out big.tokens
    jaxrnn train --corpus big.tokens --max-chars 1000000000 --held-out-chars 100000

The text is read twice, piece by piece: seventy million characters a second, a few million of them
in memory at a time.  A token takes two bytes on disk, or four if there are more than 65,536
different ones.  The vocabulary is that of the complete text, including what is held out later.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from jaxrnn.commands import command_line
from jaxrnn.text import Unit
from jaxrnn.text.corpora import files_of
from jaxrnn.text.files import check_encoding
from jaxrnn.text.pieces import pieces_of
from jaxrnn.text.token_file import write_token_file
from jaxrnn.text.vocabulary import check_max_vocabulary


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn tokenize`."""

    text: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            help="Files, also packed as .gz or .zip, folders of them or patterns such as"
            " 'poems/*.txt'."
        ),
    ]
    out: Annotated[Path, tyro.conf.arg(help="Folder to write the ids and their vocabulary to.")]
    encoding: str = "utf-8"
    """Encoding of the files, any that Python knows: gb18030, big5, shift_jis, latin-1, ..."""
    unit: Unit = "character"
    """The unit of text that is one token.  Bytes make a text of any file."""
    max_vocabulary: int | None = None
    """Keep only the most frequent characters (or words), so many with <unk>, which replaces the
    others."""
    keep_line_breaks: bool = True
    """Line breaks are tokens to be learnt; with --no-keep-line-breaks they become spaces."""


def tokenize(settings: Settings) -> None:
    """Write the folder, and print what is in it."""
    check_encoding(settings.encoding)
    check_max_vocabulary(settings.max_vocabulary, settings.unit)
    files = files_of(settings.text)
    keep, unit = settings.keep_line_breaks, settings.unit
    tokens = write_token_file(
        lambda: pieces_of(files, unit, encoding=settings.encoding, keep_line_breaks=keep),
        settings.out,
        unit,
        max_size=settings.max_vocabulary,
        keep_line_breaks=keep,
    )
    print(
        f"{tokens.num_ids:,} {tokens.vocabulary.unit}s, {len(tokens.vocabulary):,} distinct, in"
        f" {settings.out}\n  SHA-256 {tokens.digest}"
    )


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(tokenize, Settings, description=__doc__)


if __name__ == "__main__":
    main()
