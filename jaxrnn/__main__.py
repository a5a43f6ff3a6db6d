"""The command `jaxrnn`, or `python -m jaxrnn`, which runs one of several commands."""

import importlib
import sys
from typing import NoReturn

import jaxrnn

COMMANDS = {
    "train": "Train a language model on any text; Ctrl-C saves, --resume continues.",
    "generate": "Continue a text with a trained model.",
    "score": "Print how probable texts are under a trained model.",
    "verify": "Check that every checkpoint of a run is intact.",
    "tokenize": "Turn a text of any size into token ids on disk, to train on.",
    "studio": "Open a page that shows a trained model at work.",
}

USAGE = """usage: jaxrnn [--help] [--version] COMMAND ...

{}

`jaxrnn COMMAND --help` shows the flags of a command.
"""


def main() -> NoReturn:
    """Run the command that the first argument names."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {command:{width}}  {what}" for command, what in COMMANDS.items())
        print(USAGE.format("\n".join(lines)), end="")
        sys.exit()
    if name == "--version":
        print(f"jaxrnn {jaxrnn.__version__}")
        sys.exit()
    if name not in COMMANDS:
        print(
            f"error: the command must be one of {', '.join(COMMANDS)}, got {name!r}",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = [name, *arguments]
    importlib.import_module(f"jaxrnn.commands.{name}").main()
    raise AssertionError("a command exits")


if __name__ == "__main__":
    main()
