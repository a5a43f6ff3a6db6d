"""The summary of a run: `summary.json`, with a checksum."""

import json
from pathlib import Path
from typing import Any

from jaxrnn.checks import check_regular_file
from jaxrnn.runs.digests import canonical_digest
from jaxrnn.runs.files import plain, write_json

MAX_BYTES = 1 << 26
"""A larger summary is not read."""


def write_summary(run_dir: Path, content: dict[str, Any]) -> None:
    """Write `summary.json`, with a checksum that `read_summary` verifies."""
    content = plain(content)
    write_json(run_dir / "summary.json", content | {"sum": canonical_digest(content)})


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Read what `write_summary` wrote.

    Raises:
        OSError: there is no summary.
        ValueError: it is damaged, or by a version that wrote no checksums.
    """
    path = run_dir / "summary.json"
    check_regular_file(path, MAX_BYTES)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        intact = content.pop("sum") == canonical_digest(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise ValueError(f"{path} is damaged")
    return content
