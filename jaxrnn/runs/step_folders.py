"""The folders of checkpoints, one per step: finding, moving and deleting them.

Nothing that a run did not write is moved or deleted.  What it did write is deleted only when newer
checkpoints replace it.
"""

import itertools
import shutil
from pathlib import Path

DELETED = ".deleted"
"""Where a save is moved before it is deleted, so a kill never leaves half of one."""

SEPARATOR = "\\"
"""A path separator to the storage library, which would write and read elsewhere."""

PATTERNS = "*?["
"""Wildcards to the storage library, which would not find what it has just written."""

MADE_BY_SAVES = ("_CHECKPOINT_METADATA", "meta", "params", "training")
"""At least one of these is in the folder of a save, however damaged it is."""


def check_name(folder: Path, read_only: bool) -> None:
    """Raise unless a folder's path allows saves to be written, or only read if `read_only`.

    Raises:
        ValueError: the path has characters that it must not have.
    """
    forbidden = SEPARATOR if read_only else SEPARATOR + PATTERNS
    strange = [c for c in str(folder) if c in forbidden or "\ud800" <= c <= "\udfff"]  # no UTF-8
    if strange:
        raise ValueError(
            f"a run's folder must have no {' or '.join(forbidden)} in its path and be UTF-8: orbax"
            f" would take it for another path; got {str(folder)!a}"
        )


def steps_in(folder: Path) -> list[int]:
    """Return the steps that have a folder, the largest first."""
    try:
        return sorted(
            (int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()),
            reverse=True,
        )
    except FileNotFoundError:
        return []


def is_save(folder: Path) -> bool:
    """Return whether a folder is empty or looks like a save, damaged or not."""
    return not any(folder.iterdir()) or any((folder / name).exists() for name in MADE_BY_SAVES)


def move(folder: Path, to: Path) -> None:
    """Move a folder into another one; if its name is taken, as NAME.1, NAME.2, ..."""
    to.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([folder.name], (f"{folder.name}.{n}" for n in itertools.count(1)))
    folder.rename(next(to / name for name in names if not (to / name).exists()))


def delete(folder: Path) -> None:
    """Delete the folder of a save; it disappears at once or not at all."""
    deleted = folder.parent / DELETED
    shutil.rmtree(deleted, ignore_errors=True)
    move(folder, deleted)
    shutil.rmtree(deleted, ignore_errors=True)
