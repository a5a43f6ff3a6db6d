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
from jaxrnn.text.token_file import pieces_of, write_token_file


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn tokenize`."""

    text: Annotated[Path, tyro.conf.arg(help="A text file in UTF-8.")]
    out: Annotated[Path, tyro.conf.arg(help="Folder to write the ids and their vocabulary to.")]
    unit: Unit = "character"
    """The unit of text that is one token."""
    keep_line_breaks: bool = True
    """Line breaks are tokens to be learnt; with --no-keep-line-breaks they become spaces."""


def tokenize(settings: Settings) -> None:
    """Write the folder, and print what is in it."""
    keep, unit = settings.keep_line_breaks, settings.unit
    tokens = write_token_file(
        lambda: pieces_of(settings.text, unit, keep_line_breaks=keep),
        settings.out,
        unit,
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
