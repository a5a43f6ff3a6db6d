"""The output of `--help`: a command's usage, purpose and flags."""

import contextlib
import inspect
import re
import shutil
import textwrap
from collections.abc import Collection, Iterator
from typing import Any
from unittest import mock

import docstring_parser


def help_text(flags: str, description: str, presets: Collection[str]) -> str:
    """Return usage, description and flags as one text.

    Args:
        flags: tyro's text, which begins with the usage.
        description: paragraphs, to be wrapped, and indented lines, which are kept as they are.
        presets: names that may be the first argument.
    """
    usage, _, options = flags.partition("\n\n")
    width = min(shutil.get_terminal_size().columns, 100)
    parts = [_filled(part, width) for part in re.split(r"\n\s*\n", description.strip("\n"))]
    if presets:
        usage = usage.replace(" [-h]", " [NAME] [-h]", 1)
        names = f"NAME, the first argument, is one of {', '.join(presets)}: defaults for the flags."
        parts.append(textwrap.fill(names, width, break_on_hyphens=False))
    parts.append("--debug, before all other arguments, shows the traceback of an error.")
    options = "\n".join(line.rstrip() for line in options.strip("\n").splitlines())
    return "\n\n".join([usage, *parts, options])


@contextlib.contextmanager
def joined_docstrings() -> Iterator[None]:
    """Join the lines of flags' texts in this block; tyro would keep the source's line breaks."""
    parse = docstring_parser.parse_from_object

    def parse_and_join(of: Any) -> Any:
        parsed = parse(of)
        for param in parsed.params:
            param.description = inspect.cleandoc(param.description or "").replace("\n", " ") or None
        return parsed

    with mock.patch.object(docstring_parser, "parse_from_object", parse_and_join):
        yield


def _filled(paragraph: str, width: int) -> str:
    is_example = paragraph.startswith(" ")
    return paragraph if is_example else textwrap.fill(" ".join(paragraph.split()), width)
