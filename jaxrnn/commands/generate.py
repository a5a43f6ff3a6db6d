r"""Continue a text with a trained model.

    jaxrnn generate runs/jaychou --prompt 分开
    jaxrnn generate runs/jaychou --prompt 分开 天晴 --temperature 0.8 --top-p 0.9
    jaxrnn generate runs/mine --prompt "Once upon" --stop . $'\n' --length 500
    jaxrnn generate runs/mine --temperature 1 --samples 5 --json < prompts.txt > samples.jsonl

Prints each prompt with its continuation; one alone appears on a terminal as it is written.  At
temperature 0, the default, the continuation is always the same; at higher ones, every --seed gives
another.
"""

import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import jax
import tyro

import jaxrnn
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.runs import Use
from jaxrnn.runs.settings import MAX_TO_GENERATE
from jaxrnn.text.units import visible


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn generate`."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    prompt: tuple[str, ...] = ()
    """One or more texts to continue; without any, or with a single dash, each line of standard
    input is one."""
    length: int = 50
    """Characters (or words) to add, at most."""
    temperature: float = 0.0
    """0 always takes the most likely character, as in the book; higher values are more varied."""
    top_k: int | None = None
    """Draw only from the k most likely characters."""
    top_p: float = 1.0
    """Draw only from the fewest characters whose probabilities add up to at least this."""
    stop: tuple[str, ...] = ()
    """Texts that end a continuation, and are cut off. They are taken as they are, without escapes:
    a line break is $'\\n' in most shells."""
    min_tokens: int = 0
    """Characters (or words) to add before a continuation may end."""
    samples: int = 1
    """Continuations of each prompt; more than one need a temperature above 0."""
    seed: int = 0
    """Seed of the random draws."""
    json: bool = False
    """Print a line of JSON for each continuation: prompt, text (both together), continuation,
    tokens (how many), log_probability (of these, in nats, at temperature 1) and stopped (by a
    --stop text, which is counted but cut off)."""
    use: Use | None = None
    """Use the newest parameters (checkpoints), those that did best on the validation text, or the
    average that --average keeps; by default the average if there is one, else the newest."""
    allow_unknown: bool = False
    """Replace characters that are not in the vocabulary by its unknown token."""


def generate(settings: Settings) -> None:
    """Print each prompt with its continuations."""
    check_seed("seed", settings.seed)
    check_positive_integer("length", settings.length, MAX_TO_GENERATE)
    check_positive_integer("samples", settings.samples, MAX_TO_GENERATE // settings.length)
    prompts = prompts_of(settings.prompt)
    run = jaxrnn.load_run(settings.run_dir, settings.use)
    options: dict[str, Any] = {
        "sampling": jaxrnn.Sampling(settings.temperature, settings.top_k, settings.top_p),
        "key": jax.random.key(settings.seed),
        "stop": settings.stop,
        "min_tokens": settings.min_tokens,
        "allow_unknown": settings.allow_unknown,
    }
    if len(prompts) == settings.samples == 1 and not settings.json and sys.stdout.isatty():
        pieces = jaxrnn.generate_stream(*run, prompts[0], settings.length, **options)
        for piece in itertools.chain(prompts, pieces):
            print(visible(piece), end="", flush=True)
        print()
        return
    for sample in jaxrnn.generate_samples(
        *run, prompts, settings.length, num_samples=settings.samples, **options
    ):
        text = visible(sample.text) if sys.stdout.isatty() else sample.text
        print(as_json(sample) if settings.json else text)


def prompts_of(given: tuple[str, ...]) -> list[str]:
    """Return the prompts that were given, or the lines of standard input.

    Raises:
        ValueError: standard input is needed, and is a terminal, empty or not text.
    """
    if given not in ((), ("-",)):
        return list(given)
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("prompt must be given, or come from standard input, a line each")
    try:
        lines = [line.rstrip("\n") for line in sys.stdin]
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input must be text: {error}") from error
    if not lines:
        raise ValueError("standard input must hold at least one prompt, a line each, got none")
    return lines


def as_json(sample: jaxrnn.Sample) -> str:
    """Return a sample as a line of JSON."""
    content = {
        "prompt": sample.prompt,
        "text": sample.text,
        "continuation": sample.continuation,
        "tokens": sample.num_tokens,
        "log_probability": sample.log_probability,
        "stopped": sample.stopped,
    }
    return json.dumps(content, ensure_ascii=False)


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(generate, Settings, description=__doc__)


if __name__ == "__main__":
    main()
