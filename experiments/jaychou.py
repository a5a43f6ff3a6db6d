"""The book's character model of Jay Chou's lyrics (Dive into Deep Learning, chapters on RNNs).

    python -m experiments.jaychou

An RNN of 256 units reads the first 10,000 characters in random windows for 250 epochs of SGD.
Expect a training perplexity near 1.3 after half a minute on two CPU cores, and text like the
lyrics, which the model has memorised.  The held-out perplexity is the number that matters.

    --windows sequential                              the carry passes from batch to batch: near 1.2
    --cell gru --windows sequential --epochs 160      near 1.5; lstm: near 3.9
    --optimizer adam --learning-rate 0.01 --init uniform    near 1.02 for gru and lstm

The lyrics, jaychou_lyrics.txt.zip, are read from the folder that JAXRNN_DATA names, or downloaded.
Where neither works, the songs that come with jaxrnn replace them, in runs/songs.  Ctrl-C saves,
--resume continues.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from jaxrnn.commands import command_line
from jaxrnn.commands.train import Flags, train
from jaxrnn.text import load_corpus
from jaxrnn.text.sources import BUNDLED


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of the book's run."""

    prompts: tuple[str, ...] = ("分开", "不分开", "天晴")
    """Prompts of the samples."""
    validation_chars: int | None = 0
    """Characters after those to train on, on which the best parameters are chosen."""
    out: Path = Path("runs/jaychou")
    """Folder of the run."""


def jaychou(settings: Settings) -> int:
    """Train on the lyrics or, if they are not available, on the songs in their own folder."""
    if settings.corpus == "jaychou" and settings.out == Settings.out:
        corpus = load_corpus("jaychou", fallback=BUNDLED)
        if corpus.name == BUNDLED:
            print(corpus.source)
            settings = replace(settings, corpus=BUNDLED, out=Path("runs/songs"))
    return train(settings)


if __name__ == "__main__":
    command_line.main(jaychou, Settings, description=__doc__)
