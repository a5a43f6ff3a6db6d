"""Turn a text of any size into the ids of its tokens, to be trained on in place.

    jaxrnn tokenize --text big.txt --out big.tokens
    jaxrnn train --corpus big.tokens --max-chars 1000000000 --held-out-chars 100000

The text is read twice, piece by piece: seventy million characters a second, and memory
holds a few million at a time.  A token takes two bytes, four where there are more than 65,536
different ones.  The vocabulary is that of the whole text, what is held out later included.
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
    """Which text, and where to."""

    text: Annotated[Path, tyro.conf.arg(help="A text file in UTF-8.")]
    out: Annotated[Path, tyro.conf.arg(help="Folder of the ids and their vocabulary.")]
    unit: Unit = "character"
    """What a token is."""
    keep_line_breaks: bool = True
    """Whether line breaks are tokens to be learnt; else they become spaces."""


def tokenize(settings: Settings) -> None:
    """Write the folder, and say what is in it."""
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
