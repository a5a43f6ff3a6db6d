"""Files that are written whole or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, all of it or nothing; a number that is not finite becomes null."""
    replace_text(path, json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n")


def plain(content: Any) -> Any:
    """The same content with None for numbers that are not finite, which JSON has no word for."""
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def replace_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Within it, write to the path that it gives; it is renamed at the end.

    A reader sees the old file or the new one.  An OSError names the file; Python does not say which
    one was too large.
    """
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    with errors_name(path):
        beside.unlink(missing_ok=True)  # to write to a pipe could take for ever
        yield beside
        os.replace(beside, path)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Within it an OSError names the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
