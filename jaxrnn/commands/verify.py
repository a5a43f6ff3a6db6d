"""Check that every checkpoint of a run, or a tokenized text, is intact.

    jaxrnn verify runs/jaychou
    jaxrnn verify big.tokens

Prints one line per checkpoint: whether everything that is read of it is exactly what was written,
and how far the training was.  Files in its folder that are never read are not checked.  The exit
code is 1 if anything is damaged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn, get_args

import tyro

from jaxrnn.commands import command_line
from jaxrnn.runs import CheckpointError, Checkpoints, Kind
from jaxrnn.text.token_file import TokenFileError, open_token_file


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn verify`."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, or a folder made by `jaxrnn tokenize`."""


def verify(settings: Settings) -> int:
    """Print one line per checkpoint; return the exit code."""
    if (settings.run_dir / "text.json").exists():
        return _verify_tokens(settings.run_dir)
    damaged = found = 0
    for kind in get_args(Kind):
        if not (settings.run_dir / kind).is_dir():
            continue
        with Checkpoints(settings.run_dir, kind, read_only=True) as checkpoints:
            for step in checkpoints.steps():
                found += 1
                try:
                    saved = checkpoints.open(step)
                    saved.verify()
                except CheckpointError as error:
                    if step not in checkpoints.steps():  # the run has gone on, and deleted it
                        found -= 1
                        continue
                    damaged += 1
                    print(f"{kind}/{step}: {error}")
                else:
                    print(f"{kind}/{step}: intact; {saved.record.in_words(kind)}")
    if not found:
        raise CheckpointError(f"{settings.run_dir} holds no checkpoints")
    return 1 if damaged else 0


def _verify_tokens(folder: Path) -> int:
    try:
        tokens = open_token_file(folder)
    except TokenFileError as error:
        print(error)
        return 1
    print(f"{folder}: intact; {tokens.num_ids:,} tokens, {len(tokens.vocabulary):,} distinct")
    return 0


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(verify, Settings, description=__doc__)


if __name__ == "__main__":
    main()
