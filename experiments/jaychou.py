"""The book's character model of Jay Chou's lyrics (Dive into Deep Learning, chapters on RNNs).

    python -m experiments.jaychou

An RNN of 256 units reads the first 10,000 characters in random windows for 250 epochs of SGD.
Expect a training perplexity near 1.3 after half a minute on two CPU cores, and text that reads like
the lyrics it has learnt by heart; the held-out perplexity beside it is the honest number.

    --windows sequential                              the carry passes from batch to batch: near 1.2
    --cell gru --windows sequential --epochs 160      near 1.5; lstm: near 3.9
    --optimizer adam --learning-rate 0.01 --init uniform    near 1.02 for gru and lstm

The lyrics are read from JAXRNN_DATA or downloaded; where neither works, the songs that come with
jaxrnn take their place.  Ctrl-C saves, --resume goes on.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments import command, run
from experiments.train import train


@dataclass(frozen=True)
class Settings(run.Settings):
    """The book's run."""

    prompts: tuple[str, ...] = ("分开", "不分开", "天晴")
    """Beginnings of the samples."""
    out: Path = Path("runs/jaychou")
    """Folder of the run."""


if __name__ == "__main__":
    command.main(train, Settings, description=__doc__)
