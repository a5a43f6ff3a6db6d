"""The parts that all command lines share: flags from a dataclass, and errors in one line."""

import contextlib
import io
import itertools
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jax
import tyro

from jaxrnn.commands.help_text import help_text, joined_docstrings
from jaxrnn.commands.output import named_output
from jaxrnn.runs import SaveFailedError
from jaxrnn.runs.files import short_message

Settings = TypeVar("Settings")

LOST_PROCESS_WORDS = (
    "gloo", "nccl", "unavailable", "deadline_exceeded", "heartbeat", "coordination",
)  # fmt: skip
"""JAX's error message contains one of these words when another process has died."""


def main(
    run: Callable[[Settings], int | None],
    settings: type[Settings],
    *,
    presets: Mapping[str, Settings] | None = None,
    description: str | None = None,
) -> NoReturn:
    """Read the command line into `settings`, run, and exit.

    Errors in the user's input are printed in one line, with exit code 2; `--debug` as the first
    flag shows the traceback instead.

    Args:
        run: does the work; returns the exit code, None for 0.
        settings: a dataclass whose fields, with their docstrings, are the flags.
        presets: default values of the flags, by names that may be the first argument; without a
            name, the first preset is used.
        description: text that `--help` prints above the flags.
    """
    arguments = sys.argv[1:]
    debug = arguments[:1] == ["--debug"]
    arguments = arguments[debug:]
    default = None if presets is None else _take_preset(arguments, presets)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    if not debug:
        _quieten_orbax()
    try:
        with named_output():
            code = run(_parse(settings, arguments, default, description or "", presets or ()))
        sys.exit(code)
    except KeyboardInterrupt:
        _exit(128 + signal.SIGINT)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        if debug or not any(word in str(error).lower() for word in LOST_PROCESS_WORDS):
            traceback.print_exc()
        else:
            lost = f"another process of this run is gone or does not answer: {short_message(error)}"
            _print_error(f"{lost}; restart all of them with --resume")
        _exit_at_once(1)  # or JAX would wait for it again
    except (ValueError, TypeError, OSError) as error:
        if debug:
            raise
        message = " ".join(_in_words(error).split())
        if isinstance(error, SaveFailedError):
            _print_error(message)
            _exit_at_once(2)  # before tensorstore's threads, still saving, print more
        _fail(message)


def _take_preset(arguments: list[str], presets: Mapping[str, Settings]) -> Settings:
    """Remove a preset's name, with or without dashes, from the front of the arguments."""
    name = arguments[0].removeprefix("--") if arguments else ""
    if name in presets:
        del arguments[0]
        return presets[name]
    if arguments and not arguments[0].startswith("-"):
        _fail(f"the first argument must be one of {', '.join(presets)}, got {name!r}")
    return next(iter(presets.values()))


def _parse(
    settings: type[Settings],
    arguments: list[str],
    default: Settings | None,
    description: str,
    presets: Collection[str],
) -> Settings:
    options: dict[str, Any] = {} if default is None else {"default": default}
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), joined_docstrings():
            return tyro.cli(
                settings,
                prog=_program(Path(sys.argv[0])),
                args=arguments,
                description="",
                config=config,
                **options,
            )
    except SystemExit as stop:
        if stop.code:
            _fail(_first_sentence(err.getvalue()))
        print(help_text(out.getvalue(), description, presets), flush=True)
        raise


def _program(path: Path) -> str:
    """Return how the command is called: `python -m experiments.NAME`, or `jaxrnn NAME`."""
    if path.stem == "__main__":  # of a package
        path = path.parent
    start = "python -m experiments." if path.parent.name == "experiments" else "jaxrnn "
    return start + path.stem


def _first_sentence(box: str) -> str:
    """Return tyro's message, which is between its title and the next horizontal rule."""
    lines = [line.strip(" │") for line in box.splitlines()[1:]]

    def is_rule(line: str) -> bool:
        return not line.strip("─-╰╯")

    message = itertools.takewhile(
        lambda line: not is_rule(line), itertools.dropwhile(is_rule, lines)
    )
    return re.sub("^Error parsing [A-Za-z]+: ", "", " ".join(message))


def _in_words(error: Exception) -> str:
    """Return an error's message, without its errno."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _fail(message: str) -> NoReturn:
    _print_error(message)
    _exit(2)


def _exit(code: int) -> NoReturn:
    """Exit without waiting for the other processes of the run, if there are any."""
    if jax.distributed.is_initialized():
        _exit_at_once(code)  # or JAX would wait for them, and abort
    sys.exit(code)


def _exit_at_once(code: int) -> NoReturn:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def _quieten_orbax() -> None:
    """Silence orbax's logs of a failed save; our own error reports it in one line."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _print_error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
