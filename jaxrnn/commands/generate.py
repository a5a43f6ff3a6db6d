"""Continue a text with a trained model.

    jaxrnn generate runs/jaychou --prompt 分开
    jaxrnn generate runs/jaychou --prompt 分开 天晴 --temperature 0.8 --top-p 0.9

Prints each prompt with its continuation.  At temperature 0, the default, the continuation is always
the same; at higher ones, every --seed gives another.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import jax
import tyro

import jaxrnn
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.runs import Kind
from jaxrnn.runs.settings import MAX_TO_GENERATE


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn generate`."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    prompt: tuple[str, ...]
    """One or more texts to continue."""
    length: int = 50
    """Characters (or words) to add."""
    temperature: float = 0.0
    """0 always takes the most likely character, as in the book; higher values are more varied."""
    top_k: int | None = None
    """Draw only from the k most likely characters."""
    top_p: float = 1.0
    """Draw only from the fewest characters whose probabilities add up to at least this."""
    seed: int = 0
    """Seed of the random draws."""
    use: Kind = "checkpoints"
    """Use the newest parameters (checkpoints), or those that did best on the held-out text."""
    allow_unknown: bool = False
    """Replace characters that are not in the vocabulary by its unknown token."""


def generate(settings: Settings) -> None:
    """Print each prompt with its continuation."""
    check_seed("seed", settings.seed)
    check_positive_integer("length", settings.length, MAX_TO_GENERATE)
    model, params, vocabulary = jaxrnn.load_run(settings.run_dir, settings.use)
    texts = jaxrnn.generate(
        model,
        params,
        vocabulary,
        settings.prompt,
        settings.length,
        sampling=jaxrnn.Sampling(settings.temperature, settings.top_k, settings.top_p),
        key=jax.random.key(settings.seed),
        allow_unknown=settings.allow_unknown,
    )
    print("\n".join(texts))


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(generate, Settings, description=__doc__)


if __name__ == "__main__":
    main()
