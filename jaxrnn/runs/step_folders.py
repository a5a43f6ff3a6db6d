"""The folders of saves, one for each step: which there are, and where those go that leave.

What a run did not write is neither moved nor deleted; what it did write is deleted only where newer
saves take its place.
"""

import itertools
import shutil
from pathlib import Path

DELETED = ".deleted"
"""Where a save goes before it is deleted, so that a kill leaves no half of one."""

SEPARATOR = "\\"
"""What the storage library takes for one in a path, so that it writes and reads elsewhere."""

PATTERNS = "*?["
"""What it takes for a pattern where it looks for what it has just written."""

MADE_BY_SAVES = ("_CHECKPOINT_METADATA", "meta", "params", "training")
"""What at least one of is in the folder of a save, however damaged."""


def check_name(folder: Path, read_only: bool) -> None:
    """Raise unless saves can be written to, or at least read from, a folder of that name.

    Raises:
        ValueError: it names what must not be in the path.
    """
    forbidden = SEPARATOR if read_only else SEPARATOR + PATTERNS
    strange = [c for c in str(folder) if c in forbidden or "\ud800" <= c <= "\udfff"]  # no UTF-8
    if strange:
        raise ValueError(
            f"a run's folder must have no {' or '.join(forbidden)} in its path and be UTF-8: orbax"
            f" would read it as another one; got {str(folder)!a}"
        )


def steps_in(folder: Path) -> list[int]:
    """The numbers that folders have for names, the largest first."""
    try:
        return sorted(
            (int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()),
            reverse=True,
        )
    except FileNotFoundError:
        return []


def is_save(folder: Path) -> bool:
    """Whether a folder seems to be that of a save, damaged or not, or is empty."""
    return not any(folder.iterdir()) or any((folder / name).exists() for name in MADE_BY_SAVES)


def move(folder: Path, to: Path) -> None:
    """Move a folder below another one; where its name is taken there, as NAME.1, NAME.2, ..."""
    to.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([folder.name], (f"{folder.name}.{n}" for n in itertools.count(1)))
    folder.rename(next(to / name for name in names if not (to / name).exists()))


def delete(folder: Path) -> None:
    """Delete the folder of a save, which is gone at once or not at all."""
    deleted = folder.parent / DELETED
    shutil.rmtree(deleted, ignore_errors=True)
    move(folder, deleted)
    shutil.rmtree(deleted, ignore_errors=True)
