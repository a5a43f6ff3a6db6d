"""Files that are written completely or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, completely or not at all; numbers that are not finite become null."""
    text = json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n"
    # What UTF-8 lacks, the lone surrogates of names and prompts that are not UTF-8, is escaped.
    replace_text(path, text.encode("utf-8", "backslashreplace").decode())


def plain(content: Any) -> Any:
    """Replace numbers that are not finite, which JSON cannot express, by None."""
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def replace_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it is renamed to `path` at the end.

    A reader sees the old file or the new one.  An OSError names the file, as Python does not say
    which one was too large.
    """
    temporary = path.with_name(f"{path.stem}.new{path.suffix}")
    with errors_name(path):
        temporary.unlink(missing_ok=True)  # writing to a pipe could block forever
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Make any OSError in this block name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def short_message(error: Exception) -> str:
    """Return the first line of an error's message; orbax adds many more."""
    return (str(error) or type(error).__name__).split("\n")[0]
